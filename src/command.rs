//! A ref update that a client asks for, and the verdict on it.

use bstr::{BStr, BString};
use gix::ObjectId;

/// One `<old> SP <new> SP <name>` line of a push (gitprotocol-pack, "Reference Update Request").
#[derive(Debug, Clone)]
pub struct Command {
    /// The value that the client believes the ref to have; null for a creation.
    pub old: ObjectId,
    /// The value that it asks for; null for a deletion.
    pub new: ObjectId,
    /// The name as pushed: under a namespace, the part behind the namespace's prefix.
    pub name: BString,
    /// Who writes the ref.
    pub writer: Writer,
    /// The client's shallow roots that the repository has to take over for the new value's history to be whole.
    pub new_roots: Vec<ObjectId>,
    /// A deletion of a ref that was not there: it succeeds, and the post hooks are not told.
    pub nothing_to_delete: bool,
    /// What the proc-receive hook did instead of what was asked; empty unless it said so.
    pub results: Vec<ActualUpdate>,
    /// Why the command will not be carried out. The first refusal stays.
    refusal: Option<Refusal>,
}

/// Who carries out a command that is not refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Writer {
    /// This program, after policy and update hook.
    #[default]
    Transaction,
    /// Nobody: it names a symref, and the command on the symref's target does the same.
    Target,
    /// The proc-receive hook, which was or is to be asked (`receive.procReceiveRefs`).
    ProcReceive,
}

/// One update that a proc-receive hook made for a command (gitprotocol-pack, "option-refname" and its like). What the
/// hook left out is as the command has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActualUpdate {
    /// `option refname`
    pub name: Option<BString>,
    /// `option old-oid`
    pub old: Option<ObjectId>,
    /// `option new-oid`
    pub new: Option<ObjectId>,
    /// `option forced-update`
    pub forced: bool,
}

impl Command {
    /// A command that nothing speaks against yet.
    pub fn new(old: ObjectId, new: ObjectId, name: impl Into<BString>) -> Self {
        Command {
            old,
            new,
            name: name.into(),
            writer: Writer::Transaction,
            new_roots: Vec::new(),
            nothing_to_delete: false,
            results: Vec::new(),
            refusal: None,
        }
    }

    /// True if the ref is to go.
    pub fn is_deletion(&self) -> bool {
        self.new.is_null()
    }

    /// True if the client takes the ref for one that is not there yet.
    pub fn is_creation(&self) -> bool {
        self.old.is_null()
    }

    /// Refuse the command, unless it was refused before: the first reason is the one reported.
    pub fn refuse(&mut self, why: Refusal) {
        self.refusal.get_or_insert(why);
    }

    /// Refuse the command for this reason, and not for one that was given before.
    pub fn refuse_instead(&mut self, why: Refusal) {
        self.refusal = Some(why);
    }

    /// Why the command is refused, `None` as long as it is not.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// True if there is something to tell the post hooks: not refused, and there was a ref to update.
    pub fn is_carried_out(&self) -> bool {
        !self.is_refused() && !self.nothing_to_delete
    }

    /// True if the command was refused.
    pub fn is_refused(&self) -> bool {
        self.refusal.is_some()
    }

    /// The name as pushed.
    pub fn name(&self) -> &BStr {
        self.name.as_ref()
    }
}

/// Why a ref was not updated: its `Display` is the text behind `ng <ref> ` in the report, which clients and tools match on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// `unpacker error`: the objects did not arrive whole.
    UnpackerError,
    /// `missing necessary objects`: something that the new value reaches is not there.
    MissingNecessaryObjects,
    /// `deny updating a hidden ref`
    HiddenUpdate,
    /// `deny deleting a hidden ref`
    HiddenDeletion,
    /// `pre-receive hook declined`
    PreReceiveDeclined,
    /// `hook declined`: the update hook said no.
    UpdateHookDeclined,
    /// `atomic push failure`: another command of an atomic push was refused.
    AtomicPushFailure,
    /// `atomic transaction failed`: the one transaction of an atomic push could not be committed.
    AtomicTransactionFailed,
    /// Any other reason, in the words of the report.
    Other(BString),
}

impl Refusal {
    /// A reason in the words of the report.
    pub fn other(words: impl Into<BString>) -> Self {
        Refusal::Other(words.into())
    }

    /// The text behind `ng <ref> ` in the report.
    pub fn words(&self) -> &BStr {
        match self {
            Refusal::UnpackerError => "unpacker error".into(),
            Refusal::MissingNecessaryObjects => "missing necessary objects".into(),
            Refusal::HiddenUpdate => "deny updating a hidden ref".into(),
            Refusal::HiddenDeletion => "deny deleting a hidden ref".into(),
            Refusal::PreReceiveDeclined => "pre-receive hook declined".into(),
            Refusal::UpdateHookDeclined => "hook declined".into(),
            Refusal::AtomicPushFailure => "atomic push failure".into(),
            Refusal::AtomicTransactionFailed => "atomic transaction failed".into(),
            Refusal::Other(words) => words.as_ref(),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.words().fmt(f)
    }
}
