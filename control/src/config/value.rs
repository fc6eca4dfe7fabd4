//! Reads single values of the configuration file. Knows no object.

use std::{fmt::Display, net::IpAddr, ops::RangeInclusive, path::PathBuf, str::FromStr};

use toml::{Spanned, Value};

use super::{error::Fault, places::Place, raw::At};
use crate::object::written;

/// The fields of one table, and where they stand.
pub(super) struct Fields {
    pub(super) place: Place,
}

impl Fields {
    /// Of a table that stands at `whole`.
    pub(super) fn new(whole: std::ops::Range<usize>) -> Self {
        Self {
            place: Place {
                whole,
                fields: Vec::new(),
            },
        }
    }

    /// A value that must be there.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        value: At<T>,
    ) -> Result<Spanned<T>, Fault> {
        let value = value.ok_or_else(|| self.missing(key))?;
        self.note(key, &value);
        Ok(value)
    }

    /// What is wrong if a value that must be there is not.
    pub(super) fn missing(&self, key: &'static str) -> Fault {
        self.fault(key, "missing; add it to this table")
    }

    /// What is wrong with a value, where it stands, if it is there.
    pub(super) fn fault(&self, key: &'static str, problem: impl Into<String>) -> Fault {
        let place = self.place.fields.iter().find(|(name, _)| *name == key);
        match place {
            Some((_, span)) => Fault::new(span.clone(), problem),
            None => Fault::new(self.place.whole.clone(), problem).with_key(key),
        }
    }

    /// Remembers where a value stands.
    pub(super) fn note<T>(&mut self, key: &'static str, value: &Spanned<T>) {
        self.place.fields.push((key, value.span()));
    }

    /// A text that must be there and be of a certain form.
    pub(super) fn text<T>(&mut self, key: &'static str, value: At<String>) -> Result<T, Fault>
    where
        T: FromStr<Err: Display>,
    {
        parse(&self.required(key, value)?)
    }

    /// A text that must be of a certain form if it is there.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        value: At<String>,
    ) -> Result<Option<T>, Fault>
    where
        T: FromStr<Err: Display>,
    {
        let Some(value) = value else { return Ok(None) };
        self.note(key, &value);
        parse(&value).map(Some)
    }

    /// An IP address that must be there.
    pub(super) fn address(
        &mut self,
        key: &'static str,
        value: At<String>,
    ) -> Result<IpAddr, Fault> {
        let value = self.required(key, value)?;
        address(&value)
    }

    /// A number that must be in `range` if it is there.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        value: At<i64>,
        range: RangeInclusive<u16>,
    ) -> Result<Option<u16>, Fault> {
        let Some(value) = value else { return Ok(None) };
        self.note(key, &value);
        within(value.span(), *value.get_ref(), &range).map(Some)
    }

    /// `"auto"` (`None`), or a number in `range`.
    pub(super) fn auto_or_number(
        &mut self,
        key: &'static str,
        value: At<Value>,
        range: RangeInclusive<u16>,
    ) -> Result<Option<u16>, Fault> {
        let Some(value) = value else { return Ok(None) };
        self.note(key, &value);
        match value.get_ref() {
            Value::String(text) if text == "auto" => Ok(None),
            Value::Integer(number) => within(value.span(), *number, &range).map(Some),
            other => {
                let (first, last) = range.into_inner();
                let problem =
                    format!("{other} is neither \"auto\" nor a number from {first} to {last}");
                Err(Fault::new(value.span(), problem))
            }
        }
    }
}

/// Reads a text of a certain form.
pub(super) fn parse<T>(value: &Spanned<String>) -> Result<T, Fault>
where
    T: FromStr<Err: Display>,
{
    let text = value.get_ref();
    text.parse()
        .map_err(|error| Fault::new(value.span(), format!("{text:?}: {error}")))
}

/// Reads an IP address.
pub(super) fn address(value: &Spanned<String>) -> Result<IpAddr, Fault> {
    value.get_ref().parse().map_err(|_| {
        let problem = format!(
            "{:?} is no IP address; write e.g. \"192.168.77.2\"",
            value.get_ref()
        );
        Fault::new(value.span(), problem)
    })
}

/// Reads a path that must be absolute.
pub(super) fn absolute(value: &Spanned<String>) -> Result<PathBuf, Fault> {
    let path = PathBuf::from(value.get_ref());
    if path.is_absolute() {
        return Ok(path);
    }
    let problem = format!("{:?} is a relative path; begin it with /", value.get_ref());
    Err(Fault::new(value.span(), problem))
}

fn within(
    span: std::ops::Range<usize>,
    number: i64,
    range: &RangeInclusive<u16>,
) -> Result<u16, Fault> {
    let fitting = u16::try_from(number)
        .ok()
        .filter(|number| range.contains(number));
    fitting.ok_or_else(|| {
        let (first, last) = (range.start(), range.end());
        Fault::new(
            span,
            format!("{number} is out of range; use {first} to {last}"),
        )
    })
}

/// One of a few values, by the word that it is written as; the first unless given.
pub(super) fn word<T: Copy + Display>(value: &At<String>, known: &[T]) -> Result<T, Fault> {
    let Some(value) = value else {
        return Ok(known[0]);
    };
    let text = value.get_ref();
    if let Some(meant) = written(known, text) {
        return Ok(meant);
    }
    let words = known.iter().map(|it| format!("{:?}", it.to_string()));
    let words = words.collect::<Vec<_>>().join(" or ");
    let problem = format!("{text:?} is not known; use {words}");
    Err(Fault::new(value.span(), problem))
}
