//! Codes of this crate's findings; their pages are in `pages.rs`.

use karat_diagnostics::Code;

macro_rules! codes {
    // Expands to one constant per code, and to the list of all of them.
    ($($name:ident = $code:literal),+ $(,)?) => {
        $(pub(crate) const $name: Code = Code($code);)+
        #[cfg(test)]
        pub(crate) const ALL: &[Code] = &[$($name),+];
    };
}
codes! {
    SYNTAX = "S001",
    EMPTY = "S002",
    DOCUMENTS = "S003",
    TOP_LEVEL = "S004",
    DUPLICATE_KEY = "S005",
    KEY = "S006",
    ALIAS = "S007",
    MERGE_KEY = "S008",
    TAG = "S009",
    CHARACTER = "S010",
    TOO_LARGE = "S011",
    VERSION = "S012",
    UNKNOWN_KEY = "S013",
    WRONG_TYPE = "S014",
    NO_VALUE = "S015",
    CHOICE = "S016",
    RANGE = "S017",
    SCALAR = "S018",
    MISSING_KEY = "S019",
    EXCLUSIVE_KEYS = "S020",
    NAME = "S021",
    DUPLICATE_NAME = "S022",
    FOR_EACH = "S023",
    VARIABLE_UNSET = "S024",
    VARIABLE_SYNTAX = "S025",
    TEMPLATE_SYNTAX = "S026",
    TEMPLATE_NAME = "S027",
    TEMPLATE_FAILED = "S028",
    TEMPLATE_UNQUOTED = "S029",
    CONNECTION_TYPE = "S030",
    ADDRESS = "S031",
    SCHEDULE = "S032",
    SQL_FILE = "S033",
    EMPTY_VALUE = "S034",
    LOCK = "S035",
}
