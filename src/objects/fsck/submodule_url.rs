//! URLs in `.gitmodules`: what must not be handed to a transport or a credential helper.
//!
//! An option in the place of a URL is refused, and so is an LF in what becomes a URL of HTTP or of the git protocol, since
//! credential helpers read one attribute a line; also one written `%0a`. A URL of HTTP has to be well-formed, in the sense in
//! which git compares URLs (git-config, `http.<url>.*`).

/// True if a submodule may have this URL.
pub fn is_allowed(url: &[u8]) -> bool {
    if url.starts_with(b"-") {
        return false;
    }
    if is_relative(url) || url.starts_with(b"git://") {
        // It may be appended to a URL. Nothing before a colon is decoded then.
        let decoded = url.iter().position(|byte| *byte == b':').unwrap_or(0);
        return !has_newline(url) && !has_coded_newline(&url[decoded..]) && !replaces_host(url);
    }
    match http_url(url) {
        Some(url) => is_allowed_http(url).is_some(),
        None => true,
    }
}

/// Cut `./` or `../` from the start; true for the latter.
fn leading_dots(url: &[u8]) -> Option<(bool, &[u8])> {
    match url {
        [b'.', b'/' | b'\\', rest @ ..] => Some((false, rest)),
        [b'.', b'.', b'/' | b'\\', rest @ ..] => Some((true, rest)),
        _ => None,
    }
}

/// True if it is relative to the URL of the repository around it.
fn is_relative(url: &[u8]) -> bool {
    leading_dots(url).is_some()
}

/// True for a relative URL whose way up may end before the path, so that the rest stands in for the host.
fn replaces_host(mut url: &[u8]) -> bool {
    let mut climbs = false;
    while let Some((up, rest)) = leading_dots(url) {
        climbs |= up;
        url = rest;
    }
    climbs && matches!(url.first(), Some(b':' | b'/'))
}

/// The URL that git leaves to its remote helpers for HTTP and FTP, if it is one.
fn http_url(url: &[u8]) -> Option<&[u8]> {
    ["http", "https", "ftp", "ftps"].into_iter().find_map(|scheme| {
        let rest = url.strip_prefix(scheme.as_bytes())?;
        rest.strip_prefix(b"::").or_else(|| rest.starts_with(b"://").then_some(url))
    })
}

fn has_newline(text: &[u8]) -> bool {
    text.contains(&b'\n')
}

fn has_coded_newline(text: &[u8]) -> bool {
    text.windows(3).any(|three| three.eq_ignore_ascii_case(b"%0a"))
}

/// `None` if the URL is malformed or has an LF where it counts.
fn is_allowed_http(url: &[u8]) -> Option<()> {
    let scheme_len = url.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)).count();
    let (scheme, rest) = url.split_at(scheme_len);
    let rest = rest.strip_prefix(b"://").filter(|_| scheme.first().is_some_and(u8::is_ascii_alphabetic))?;
    let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let host_and_port = match authority.iter().position(|byte| *byte == b'@') {
        Some(at) => {
            decoded_line(&authority[..at])?;
            &authority[at + 1..]
        }
        None => authority,
    };
    host(host_and_port, scheme.eq_ignore_ascii_case(b"file"))?;
    let end = rest.iter().position(|byte| b"?#".contains(byte)).unwrap_or(rest.len());
    path(rest[..end].strip_prefix(b"/").unwrap_or(&rest[..end]))?;
    decoded_line(&rest[end..]).map(drop)
}

/// Host and port; only a URL of a file need have no host, and has no port then.
fn host(text: &[u8], is_file: bool) -> Option<()> {
    let has_host = !matches!(text.first(), None | Some(b':'));
    if !has_host && !is_file {
        return None;
    }
    // Colons are part of an address in brackets.
    let colon = text.iter().rposition(|byte| matches!(byte, b':' | b']')).filter(|at| text[*at] == b':');
    let (host, port) = match colon {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[][..]),
    };
    if !has_host && !port.is_empty() {
        return None;
    }
    let is_sound = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._[:]".contains(byte);
    let digits = &port[port.iter().take_while(|byte| **byte == b'0').count()..];
    let number = match (port, digits) {
        ([], _) => Some(1),
        (_, [_, ..]) if digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit) => {
            Some(digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
        }
        _ => None,
    };
    (host.iter().all(is_sound) && number.is_some_and(|number| number <= 65535)).then_some(())
}

/// The path, without the first slash: it must not lead above the root. What `..` takes back does not count.
fn path(path: &[u8]) -> Option<()> {
    let mut kept = Vec::new();
    for segment in path.split(|byte| *byte == b'/') {
        let decoded = decoded(segment)?;
        match &decoded[..] {
            b"." => {}
            b".." => {
                kept.pop()?;
            }
            _ => kept.push(has_newline(&decoded)),
        }
    }
    (!kept.contains(&true)).then_some(())
}

/// `text` with `%XX` decoded, if it is one line.
fn decoded_line(text: &[u8]) -> Option<Vec<u8>> {
    decoded(text).filter(|text| !has_newline(text))
}

/// `text` with `%XX` decoded; `None` where two digits are missing.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            byte => byte,
        };
        decoded.push(byte);
    }
    Some(decoded)
}
