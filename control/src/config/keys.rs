//! Which keys the configuration file may have. Says nothing about their values.

use serde::{
    Deserialize,
    de::{self, Deserializer, Visitor},
    forward_to_deserialize_any,
};
use toml::de::{DeTable, DeValue};

use super::{error::Fault, raw};

/// The first key in `document` that is none of ours.
pub(super) fn unknown_key(document: &DeTable<'_>) -> Option<Fault> {
    let top = fields::<raw::File>();
    for (key, value) in document {
        let name: &str = key.get_ref();
        if !top.contains(&name) {
            return Some(fault(key.span(), name, top));
        }
        if let Some(known) = section_fields(name)
            && let Some(fault) = unknown_within(value.get_ref(), known)
        {
            return Some(fault);
        }
    }
    None
}

fn section_fields(section: &str) -> Option<&'static [&'static str]> {
    Some(match section {
        "node" => fields::<raw::Node>(),
        "dataplane" => fields::<raw::Dataplane>(),
        "underlay" => fields::<raw::Underlay>(),
        "network" => fields::<raw::Network>(),
        "port" => fields::<raw::Port>(),
        "vtep" => fields::<raw::Vtep>(),
        "route" => fields::<raw::Route>(),
        "neighbour" => fields::<raw::Neighbour>(),
        "fdb" => fields::<raw::Fdb>(),
        "ipam" => fields::<raw::Ipam>(),
        _ => return None,
    })
}

fn unknown_within(value: &DeValue<'_>, known: &'static [&'static str]) -> Option<Fault> {
    match value {
        DeValue::Table(table) => {
            let (key, _) = table
                .iter()
                .find(|(key, _)| !known.contains(&key.get_ref().as_ref()))?;
            Some(fault(key.span(), key.get_ref(), known))
        }
        DeValue::Array(items) => items
            .iter()
            .find_map(|it| unknown_within(it.get_ref(), known)),
        _ => None,
    }
}

fn fault(span: std::ops::Range<usize>, name: &str, known: &[&str]) -> Fault {
    let nearest = known.iter().min_by_key(|key| distance(name, key));
    let problem = match nearest {
        Some(nearest) if distance(name, nearest) <= 1 + name.len() / 3 => {
            format!("unknown key; did you mean `{nearest}`?")
        }
        _ => format!("unknown key; known here: {}", known.join(", ")),
    };
    Fault::new(span, problem)
}

/// How many characters to insert, delete or replace to get from `a` to `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// The names of a struct's fields, which serde tells a deserializer that asks.
fn fields<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    match T::deserialize(FieldProbe) {
        Err(Fields(fields)) => fields,
        Ok(_) => &[],
    }
}

struct FieldProbe;

/// What the probe "fails" with.
#[derive(Debug)]
struct Fields(&'static [&'static str]);

impl<'de> Deserializer<'de> for FieldProbe {
    type Error = Fields;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Fields> {
        Err(Fields(fields))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Fields> {
        Err(Fields(&[]))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl de::Error for Fields {
    fn custom<T: std::fmt::Display>(_message: T) -> Self {
        Self(&[])
    }
}

impl std::fmt::Display for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for Fields {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serde_tells_the_fields() {
        assert_eq!(fields::<raw::Node>(), ["name", "socket", "state"]);
    }

    #[test]
    fn distances() {
        assert_eq!(distance("vni", "vni"), 0);
        assert_eq!(distance("vnii", "vni"), 1);
        assert_eq!(distance("adress", "address"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
    }
}
