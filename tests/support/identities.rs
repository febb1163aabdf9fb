//! Lines behind `author`, `committer` and `tagger` that are not as they should be.

use balanced_receive_pack::objects::fsck::message::Message;

/// Each with the finding that it gives rise to.
pub fn identities() -> impl Iterator<Item = (Message, &'static str)> {
    [
        (Message::MissingNameBeforeEmail, "<a@b> 1 +0000"),
        (Message::BadName, "A > <a@b> 1 +0000"),
        (Message::BadName, "> 1 +0000"),
        (Message::MissingEmail, "A b"),
        (Message::MissingEmail, ""),
        (Message::MissingSpaceBeforeEmail, "A<a@b> 1 +0000"),
        (Message::MissingSpaceBeforeEmail, "A\t<a@b> 1 +0000"),
        (Message::BadEmail, "A <a@b 1 +0000"),
        (Message::BadEmail, "A <a<b> 1 +0000"),
        (Message::BadEmail, "A <"),
        (Message::MissingSpaceBeforeDate, "A <a@b>1 +0000"),
        (Message::MissingSpaceBeforeDate, "A <a@b>"),
        (Message::MissingSpaceBeforeDate, "A <a@b>\t1 +0000"),
        (Message::BadDate, "A <a@b> x +0000"),
        (Message::BadDate, "A <a@b> -1 +0000"),
        (Message::BadDate, "A <a@b> 1x +0000"),
        (Message::BadDate, "A <a@b> 1"),
        (Message::BadDate, "A <a@b> "),
        (Message::ZeroPaddedDate, "A <a@b> 01 +0000"),
        (Message::ZeroPaddedDate, "A <a@b> 0"),
        (Message::ZeroPaddedDate, "A <a@b> \t 0\t+0000"),
        (Message::BadDateOverflow, "A <a@b> 9223372036854775808 +0000"),
        (Message::BadDateOverflow, "A <a@b> 99999999999999999999999999x +0000"),
        (Message::BadTimezone, "A <a@b> 1 0000"),
        (Message::BadTimezone, "A <a@b> 1 +00000"),
        (Message::BadTimezone, "A <a@b> 1 +000"),
        (Message::BadTimezone, "A <a@b> 1 "),
        (Message::BadTimezone, "A <a@b> 1  +0000"),
        (Message::BadTimezone, "A <a@b> 1 +0000 "),
    ]
    .into_iter()
}
