//! The query of a URL, decoded as forms are: `+` is a space, `%XX` a byte.

use super::problem::Problem;

/// Name and value of each parameter; one that repeats is refused.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: &str) -> Result<Query, Problem> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err(Problem::invalid_parameter(format!("{name} is given more than once.")));
            }
            parameters.push((name, value));
        }
        Ok(Query(parameters))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The first parameter that is none of `names`.
    pub(super) fn stranger(&self, names: &[&str]) -> Option<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).find(|name| !names.contains(name))
    }
}

fn decode(text: &str) -> Result<String, Problem> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => match (bytes.next().and_then(hex), bytes.next().and_then(hex)) {
                (Some(high), Some(low)) => high * 16 + low,
                _ => return Err(Problem::invalid_parameter("The query has a broken escape.")),
            },
            other => other,
        });
    }
    String::from_utf8(decoded).map_err(|_| Problem::invalid_parameter("The query is not UTF-8."))
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
