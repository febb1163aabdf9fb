//! What can be wrong with an object: the names of git's findings (git-fsck, "FSCK MESSAGES") and how grave each is in a push.

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The object is refused, and no setting changes that.
    Fatal,
    /// The object is refused.
    Error,
    /// The person who pushes is told.
    Warn,
    /// Nothing is said.
    Ignore,
}

impl Severity {
    /// The word for it in `receive.fsck.<msg-id>`.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Fatal | Severity::Error => "error",
            Severity::Warn => "warn",
            Severity::Ignore => "ignore",
        }
    }
}

/// List the findings with the severity that each has in a push, where git's warnings count as errors and its remarks
/// (INFO) as warnings.
macro_rules! messages {
    ($($name:ident $severity:ident,)*) => {
        /// A finding, called as git calls it but for the case of the first letter.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Message {
            $(#[doc = concat!("`", stringify!($name), "`, see git-fsck")] $name,)*
        }

        impl Message {
            /// All of them.
            pub const ALL: [Message; [$(Message::$name),*].len()] = [$(Message::$name),*];

            /// How grave it is unless `receive.fsck.*` says otherwise.
            pub fn severity(self) -> Severity {
                match self { $(Message::$name => Severity::$severity,)* }
            }

            fn variant(self) -> &'static str {
                match self { $(Message::$name => stringify!($name),)* }
            }
        }
    };
}

messages! {
    NulInHeader Fatal,
    UnterminatedHeader Fatal,
    BadDate Error,
    BadDateOverflow Error,
    BadEmail Error,
    BadName Error,
    BadObjectSha1 Error,
    BadParentSha1 Error,
    BadTimezone Error,
    BadTree Error,
    BadTreeSha1 Error,
    BadType Error,
    DuplicateEntries Error,
    EmptyName Error,
    FullPathname Error,
    GitattributesBlob Error,
    GitattributesLarge Error,
    GitattributesLineLength Error,
    GitattributesMissing Error,
    GitmodulesBlob Error,
    GitmodulesLarge Error,
    GitmodulesMissing Error,
    GitmodulesName Error,
    GitmodulesPath Error,
    GitmodulesSymlink Error,
    GitmodulesUpdate Error,
    GitmodulesUrl Error,
    HasDot Error,
    HasDotdot Error,
    HasDotgit Error,
    LargePathname Error,
    MissingAuthor Error,
    MissingCommitter Error,
    MissingEmail Error,
    MissingNameBeforeEmail Error,
    MissingObject Error,
    MissingSpaceBeforeDate Error,
    MissingSpaceBeforeEmail Error,
    MissingTag Error,
    MissingTagEntry Error,
    MissingTree Error,
    MissingType Error,
    MissingTypeEntry Error,
    MultipleAuthors Error,
    NulInCommit Error,
    NullSha1 Error,
    TreeNotSorted Error,
    UnknownType Error,
    ZeroPaddedDate Error,
    ZeroPaddedFilemode Error,
    BadFilemode Warn,
    BadTagName Warn,
    GitattributesSymlink Warn,
    GitignoreSymlink Warn,
    GitmodulesParse Warn,
    MailmapSymlink Warn,
    MissingTaggerEntry Warn,
    ExtraHeaderEntry Ignore,
}

impl Message {
    /// The name in a message: `badDate`.
    pub fn name(self) -> String {
        let mut name = self.variant().to_owned();
        name[..1].make_ascii_lowercase();
        name
    }

    /// The finding that is called `name`, in whatever case.
    pub fn called(name: &[u8]) -> Option<Self> {
        Message::ALL.into_iter().find(|message| message.variant().as_bytes().eq_ignore_ascii_case(name))
    }
}
