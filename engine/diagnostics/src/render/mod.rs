//! Renderings of findings. Each takes the findings in any order and shows them by file and position, each distinct one once.
//!
//! All mask secrets: the values they are given, passwords inside URLs, and literals after keys such as `password`.

mod excerpt;
mod json;
mod mask;
mod order;
mod text;

pub use json::{EditRecord, FindingRecord, FixRecord, LintRecord, PlaceRecord, RelatedRecord, json, json_schema, record};
pub use order::in_order;
pub use text::{Color, text};
