//! Who the reflog says made a change: the committer of git-var, made up where nobody said, so that it cannot be missing.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
};

use bstr::{BStr, BString, ByteSlice};
use jiff::tz::TimeZone;

use crate::config::Config;

/// Now, in raw format and local time.
///
/// The zone is read from the one file that describes it: to find its name, as libraries do, takes a walk through the whole
/// database of zones.
pub fn now() -> String {
    let now = jiff::Timestamp::now();
    let zone = match std::env::var("TZ") {
        Err(_) => zone_file("/etc/localtime"),
        Ok(tz) => match tz.strip_prefix(':').unwrap_or(&tz) {
            "" => None,
            path if path.starts_with('/') => zone_file(path),
            name => zone_file(&format!("/usr/share/zoneinfo/{name}")).or_else(|| TimeZone::posix(name).ok()),
        },
    };
    let offset = zone.map_or(0, |zone| zone.to_offset(now).seconds());
    gix::date::Time::new(now.as_second(), offset).to_string()
}

fn zone_file(path: &str) -> Option<TimeZone> {
    TimeZone::tzif("", &std::fs::read(path).ok()?).ok()
}

/// git's variables for a committer in the words of a reflog line: `<name> SP < <email> > SP <date>`, the date in raw format.
pub fn variables(identity: &BStr) -> Vec<(&'static str, OsString)> {
    let Some((name, rest)) = identity.split_once_str(" <") else { return Vec::new() };
    let Some((email, date)) = rest.split_once_str("> ") else { return Vec::new() };
    // Few seconds since 1970 would be read as something else without the sign.
    let date = [b"@", date].concat();
    let variables = ["GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "GIT_COMMITTER_DATE"].into_iter();
    variables
        .zip([name.to_owned(), email.to_owned(), date])
        .map(|(name, value)| (name, OsString::from_vec(value)))
        .collect()
}

/// `<name> SP < <email> >` of the committer (git-var, `GIT_COMMITTER_IDENT`; git-commit-tree, "Commit information").
pub fn committer(config: &Config) -> BString {
    let configured = |keys: [&str; 2]| {
        keys.into_iter().find_map(|key| config.values.string(key).map(BString::from)).filter(|value| !value.is_empty())
    };
    let user = || nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
    let login =
        |user: Option<&nix::unistd::User>| user.map_or("unknown".into(), |user| BString::from(user.name.as_str()));

    // What is given empty is not looked for elsewhere: the login name stands in for a name, and an address stays empty.
    let given = |key| std::env::var_os(key).map(|value| BString::from(value.as_bytes()));
    let name = given("GIT_COMMITTER_NAME").or_else(|| configured(["committer.name", "user.name"])).or_else(|| {
        let user = user()?;
        Some(full_name(user.gecos.to_bytes(), &user.name))
    });
    let name = name.map(without_crud).filter(|name| !name.is_empty()).unwrap_or_else(|| login(user().as_ref()));
    let email = given("GIT_COMMITTER_EMAIL")
        .or_else(|| configured(["committer.email", "user.email"]))
        .or_else(|| given("EMAIL").filter(|email| !email.is_empty()));
    let email = email.unwrap_or_else(|| {
        let mut email = login(user().as_ref());
        email.push(b'@');
        email.extend_from_slice(&host_name());
        email
    });

    let mut line = name;
    line.extend_from_slice(b" <");
    line.extend_from_slice(&without_crud(email));
    line.push(b'>');
    line
}

/// The first part of the gecos field, in which `&` stands for the login name with a capital.
fn full_name(gecos: &[u8], login: &str) -> BString {
    let first = gecos.split(|&byte| byte == b',').next().unwrap_or_default();
    let mut capital = login.to_owned();
    capital.get_mut(..1).map(str::make_ascii_uppercase);
    first.replace("&", capital).into()
}

fn host_name() -> Vec<u8> {
    let mailname = std::fs::read("/etc/mailname").ok().and_then(|text| text.lines().next().map(<[u8]>::to_vec));
    if let Some(name) = mailname.filter(|name| !name.is_empty()) {
        return name;
    }
    let mut name = nix::unistd::gethostname()
        .map(|name| OsStr::as_bytes(&name).to_vec())
        .unwrap_or_else(|_| b"localhost".to_vec());
    if !name.contains(&b'.') {
        name.extend_from_slice(b".(none)");
    }
    name
}

/// Without what would break a line of the log: brackets and line ends, and punctuation at both ends, where a full stop may
/// belong to the name.
fn without_crud(text: BString) -> BString {
    let crud = |byte: &u8| *byte <= 32 || b",:;<>\"\\'".contains(byte);
    let text = match (text.iter().position(|byte| !crud(byte)), text.iter().rposition(|byte| !crud(byte))) {
        (Some(first), Some(last)) => &text[first..=last],
        _ => &[],
    };
    text.iter().copied().filter(|byte| !b"<>\n\0".contains(byte)).collect::<Vec<_>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_can_break_a_log_line() {
        assert_eq!(without_crud(" <A\nU> Thor, ".into()), "AU Thor");
        assert_eq!(without_crud(",;".into()), "");
        assert_eq!(without_crud(" A U Thor Jr.;".into()), "A U Thor Jr.");
    }

    #[test]
    fn an_ampersand_in_the_gecos_field_is_the_login_name() {
        assert_eq!(full_name(b"& Thor,Room 1", "au"), "Au Thor");
    }

    #[test]
    fn now_is_what_the_system_says_it_is() {
        let date = std::process::Command::new("date").arg("+%z").output().unwrap();
        let zone = String::from_utf8(date.stdout).unwrap();
        assert_eq!(now().split_once(' ').unwrap().1, zone.trim());
    }
}
