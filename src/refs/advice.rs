//! What an administrator, or somebody who pushes to a repository of their own, is told about settings not made.

/// To go with the refusal to update a checked-out branch where `receive.denyCurrentBranch` is not set.
pub const CURRENT_BRANCH: &str = "\
The branch is checked out in a work tree of the repository that you push to.
error: If it moved now, the files there would stay as they are, and look like
error: changes that take back what you pushed.
error:
error: In that repository, 'receive.denyCurrentBranch' decides about this:
error: 'updateInstead' brings its files along if nobody has changed them,
error: 'ignore' and 'warn' let the branch move without its files, and 'refuse'
error: keeps refusing, without these lines. A repository that is only pushed
error: to and fetched from had better be bare.";

/// To go before the refusal to delete a checked-out branch where `receive.denyDeleteCurrent` is not set.
pub const DELETE_CURRENT: &str = "\
The branch is the one that HEAD names in the repository that you push to.
error: Without it the next 'git clone' of that repository checks out nothing.
error:
error: In that repository, 'receive.denyDeleteCurrent' decides about this:
error: 'ignore' and 'warn' let the branch go, and 'refuse' keeps refusing,
error: without these lines.";
