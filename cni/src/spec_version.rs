//! The versions of the CNI specification that the plugin speaks.

/// A version of the specification, in order of age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SpecVersion {
    V0_3_0,
    V0_3_1,
    V0_4_0,
    V1_0_0,
    V1_1_0,
}

impl SpecVersion {
    /// All, oldest first.
    pub(crate) const ALL: [Self; 5] = [
        Self::V0_3_0,
        Self::V0_3_1,
        Self::V0_4_0,
        Self::V1_0_0,
        Self::V1_1_0,
    ];

    /// The one that errors are reported in when the runtime's is unknown.
    pub(crate) const LATEST: Self = Self::V1_1_0;

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// The supported version that `text` names.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|version| version.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::SpecVersion;

    #[test]
    fn versions_are_ordered_and_parse_back() {
        assert!(SpecVersion::ALL.is_sorted());
        for version in SpecVersion::ALL {
            assert_eq!(SpecVersion::parse(version.as_str()), Some(version));
        }
        for unknown in ["", "0.2.0", "1.1", "1.1.0 ", "2.0.0"] {
            assert_eq!(SpecVersion::parse(unknown), None, "{unknown:?}");
        }
    }
}
