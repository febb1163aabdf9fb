//! `receive.fsck.*`: how grave each finding about an object is (git-config, `receive.fsck.<msg-id>`; git-fsck, "FSCK MESSAGES").

use anyhow::{Result, bail};
use bstr::{BStr, BString, ByteSlice, ByteVec};

use super::setting::Setting;

/// The findings that git knows by name, in lower case.
const MESSAGES: [&str; 57] = [
    "baddate",
    "baddateoverflow",
    "bademail",
    "badfilemode",
    "badname",
    "badobjectsha1",
    "badparentsha1",
    "badtagname",
    "badtimezone",
    "badtree",
    "badtreesha1",
    "badtype",
    "duplicateentries",
    "emptyname",
    "extraheaderentry",
    "fullpathname",
    "gitattributesblob",
    "gitattributeslarge",
    "gitattributeslinelength",
    "gitattributesmissing",
    "gitattributessymlink",
    "gitignoresymlink",
    "gitmodulesblob",
    "gitmoduleslarge",
    "gitmodulesmissing",
    "gitmodulesname",
    "gitmodulesparse",
    "gitmodulespath",
    "gitmodulessymlink",
    "gitmodulesupdate",
    "gitmodulesurl",
    "hasdot",
    "hasdotdot",
    "hasdotgit",
    "mailmapsymlink",
    "missingauthor",
    "missingcommitter",
    "missingemail",
    "missingnamebeforeemail",
    "missingobject",
    "missingspacebeforedate",
    "missingspacebeforeemail",
    "missingtag",
    "missingtagentry",
    "missingtaggerentry",
    "missingtree",
    "missingtype",
    "missingtypeentry",
    "multipleauthors",
    "nulincommit",
    "nulinheader",
    "nullsha1",
    "treenotsorted",
    "unknowntype",
    "unterminatedheader",
    "zeropaddeddate",
    "zeropaddedfilemode",
];

/// What `receive.fsck.*` says, in the form in which git's own programs take it: `=<msg-id>=<severity>,…,skiplist=<path>`
/// behind `--strict`; empty if nothing was said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FsckRules(BString);

impl FsckRules {
    /// Take in `receive.fsck.<name>`. A finding of no known name is told on stderr and left out.
    pub(super) fn add(&mut self, name: &BStr, setting: &Setting) -> Result<()> {
        if name == "skiplist" {
            let path = setting.path()?;
            self.push(b"skiplist", path.as_os_str().as_encoded_bytes());
            return Ok(());
        }
        let severity = setting.text()?;
        if !["error", "warn", "ignore"].iter().any(|word| severity == word) {
            bail!("Unknown fsck message type: '{severity}'");
        }
        if MESSAGES.iter().any(|known| name == known) {
            self.push(name, severity);
        } else {
            say!("warning: skipping unknown msg id '{name}'");
        }
        Ok(())
    }

    /// The text behind `--strict`.
    pub fn argument(&self) -> &BStr {
        self.0.as_bstr()
    }

    fn push(&mut self, name: &[u8], value: &[u8]) {
        let separator = if self.0.is_empty() { b'=' } else { b',' };
        self.0.push(separator);
        self.0.push_str(name);
        self.0.push(b'=');
        self.0.push_str(value);
    }
}
