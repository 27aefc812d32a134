//! The grammar of type names (`types`).

use karat_diagnostics::did_you_mean;

const PLAIN: [&str; 17] = [
    "bigint",
    "bigint unsigned",
    "binary",
    "boolean",
    "date",
    "double",
    "int",
    "int unsigned",
    "interval",
    "json",
    "real",
    "smallint",
    "smallint unsigned",
    "text",
    "tinyint",
    "tinyint unsigned",
    "uuid",
];
const WITH_PRECISION: [&str; 3] = ["time", "timestamp", "timestamptz"];
/// Names that other systems use, and ours for the same type.
const ELSEWHERE: [(&str, &str); 32] = [
    ("bool", "boolean"),
    ("bit", "boolean"),
    ("int1", "tinyint"),
    ("int2", "smallint"),
    ("int4", "int"),
    ("int8", "bigint"),
    ("int16", "smallint"),
    ("int32", "int"),
    ("int64", "bigint"),
    ("integer", "int"),
    ("long", "bigint"),
    ("uint8", "tinyint unsigned"),
    ("uint16", "smallint unsigned"),
    ("uint32", "int unsigned"),
    ("uint64", "bigint unsigned"),
    ("serial", "int"),
    ("bigserial", "bigint"),
    ("float", "double"),
    ("float4", "real"),
    ("float8", "double"),
    ("float32", "real"),
    ("float64", "double"),
    ("double precision", "double"),
    ("number", "decimal(18,2)"),
    ("numeric", "decimal(18,2)"),
    ("money", "decimal(19,4)"),
    ("string", "text"),
    ("varchar", "text"),
    ("char", "text"),
    ("datetime", "timestamp"),
    ("blob", "binary"),
    ("bytea", "binary"),
];
/// Nested types may go this deep; more is a mistake, and each level costs stack.
const MAX_DEPTH: usize = 32;

/// What is wrong with a type name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TypeFault {
    pub(crate) what: String,
    pub(crate) help: Option<String>,
}

/// The decimal precision and the digits of a second that a type asks for, at most, anywhere inside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Digits {
    pub(crate) decimal: u32,
    pub(crate) second: u32,
}

/// Reads a type name.
pub(crate) fn check(text: &str) -> Result<Digits, TypeFault> {
    let mut digits = Digits::default();
    read(text.trim(), &mut digits, 0)?;
    Ok(digits)
}

fn read(text: &str, digits: &mut Digits, depth: usize) -> Result<(), TypeFault> {
    if depth > MAX_DEPTH {
        return Err(fault(format!("types are nested more than {MAX_DEPTH} deep"), None));
    }
    if let Some(inner) = text.strip_prefix("list<") {
        let inner = inner.strip_suffix('>').ok_or_else(|| fault("`list<` is not closed", Some("write `list<T>`")))?;
        return read(inner.trim(), digits, depth + 1);
    }
    if let Some(inner) = text.strip_prefix("struct<") {
        let inner = inner.strip_suffix('>').ok_or_else(|| fault("`struct<` is not closed", Some("write `struct<name: T, …>`")))?;
        return fields(inner, digits, depth + 1);
    }
    let (name, parameters) = split(text)?;
    if PLAIN.contains(&name.as_str()) {
        return match parameters {
            None => Ok(()),
            Some(_) => Err(fault(format!("`{name}` takes no parameters"), Some(&format!("write `{name}`")))),
        };
    }
    if WITH_PRECISION.contains(&name.as_str()) {
        let Some(parameter) = parameters else { return Ok(()) };
        let precision: u32 =
            parameter.parse().ok().filter(|precision| *precision <= 9).ok_or_else(|| fault(format!("the precision of `{name}` is a number of digits from 0 to 9"), None))?;
        digits.second = digits.second.max(precision);
        return Ok(());
    }
    if name == "decimal" {
        return decimal(parameters, digits);
    }
    Err(unknown(text, &name, parameters))
}

/// `decimal(18,2)` into name and parameters; `int(11) unsigned` keeps its tail.
fn split(text: &str) -> Result<(String, Option<&str>), TypeFault> {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let Some((name, rest)) = text.split_once('(') else { return Ok((words(text), None)) };
    let (parameters, tail) = rest.split_once(')').ok_or_else(|| fault("a closing parenthesis is missing", None))?;
    Ok((words(&format!("{name} {tail}")), Some(parameters.trim())))
}

fn fields(inner: &str, digits: &mut Digits, depth: usize) -> Result<(), TypeFault> {
    let (mut level, mut start) = (0_i32, 0);
    for (at, c) in inner.char_indices().chain(std::iter::once((inner.len(), ','))) {
        match c {
            '<' | '(' => level += 1,
            '>' | ')' => level -= 1,
            ',' if level == 0 || at == inner.len() => {
                let (name, kind) = inner[start..at].split_once(':').ok_or_else(|| fault("a field of a struct has no type", Some("write `struct<name: T, …>`")))?;
                if name.trim().is_empty() {
                    return Err(fault("a field of a struct has no name", Some("write `struct<name: T, …>`")));
                }
                read(kind.trim(), digits, depth)?;
                start = at + 1;
            }
            _ => {}
        }
        if start > inner.len() {
            break;
        }
    }
    Ok(())
}

fn decimal(parameters: Option<&str>, digits: &mut Digits) -> Result<(), TypeFault> {
    let parameters = parameters.ok_or_else(|| fault("`decimal` has no precision and scale", Some("write, for example, `decimal(18,2)`")))?;
    let (precision, scale) = parameters.split_once(',').unwrap_or((parameters, "0"));
    let number = |text: &str| text.trim().parse::<u32>().ok();
    let (Some(precision), Some(scale)) = (number(precision), number(scale)) else {
        return Err(fault("precision and scale of `decimal` are whole numbers", Some("write, for example, `decimal(18,2)`")));
    };
    if !(1..=76).contains(&precision) {
        return Err(fault("the precision of `decimal` is from 1 to 76", None));
    }
    if scale > precision {
        return Err(fault(format!("the scale {scale} is greater than the precision {precision}"), Some("the precision counts all digits, the scale those after the point")));
    }
    digits.decimal = digits.decimal.max(precision);
    Ok(())
}

fn unknown(text: &str, name: &str, parameters: Option<&str>) -> TypeFault {
    let folded = name.to_lowercase();
    let known = || PLAIN.into_iter().chain(WITH_PRECISION).chain(["decimal"]);
    let ours = ELSEWHERE.iter().find(|(other, _)| *other == folded).map(|(_, ours)| match (*ours, parameters) {
        // The parameters of a numeric are worth keeping.
        ("decimal(18,2)", Some(parameters)) => format!("decimal({parameters})"),
        (ours, _) => ours.to_owned(),
    });
    let same = known().find(|known| *known == folded).map(|known| parameters.map_or(known.to_owned(), |parameters| format!("{known}({parameters})")));
    let help = same.or(ours).map(|ours| format!("write `{ours}`")).or_else(|| did_you_mean(&folded, known()));
    fault(
        format!("`{text}` is no type"),
        Some(&help.unwrap_or_else(|| format!("types are {}, `time`, `timestamp`, `timestamptz`, `decimal(p,s)`, `list<T>`, `struct<name: T>`", karat_diagnostics::quoted(PLAIN)))),
    )
}

fn fault(what: impl Into<String>, help: Option<&str>) -> TypeFault {
    TypeFault { what: what.into(), help: help.map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn every_type_of_the_language_is_read() {
        let names = "boolean|tinyint|smallint|int|bigint|tinyint unsigned|bigint  unsigned|real|double|decimal(18,2)|decimal( 5 )|text|binary|date|time|time(0)|timestamp|timestamp(3)|timestamptz(9)|interval|json|uuid|list<int>|list< struct<a: decimal(3,1), b: list<text>> >";
        for name in names.split('|') {
            assert_eq!(check(name).err(), None, "{name}");
        }
        assert_eq!(check("list<struct<a: decimal(40,1), b: timestamp(7)>>"), Ok(Digits { decimal: 40, second: 7 }));
    }

    #[test]
    fn faults_say_how_to_mend_them() {
        let names = "|Int|INTEGER|varchar(20)|numeric(10,2)|decimal|decimal(0)|decimal(3,5)|decimal(x)|decimal(3|timestamp(10)|int(11)|txet|list<int|list<foo>|struct<a>|struct<a: int,>|struct<: int>|struct<a: int>>|geography";
        let lines: Vec<String> = names
            .split('|')
            .map(|name| match check(name) {
                Ok(digits) => format!("{name} = {digits:?}"),
                Err(fault) => format!("{name} = {}; {}", fault.what, fault.help.unwrap_or_default()),
            })
            .collect();
        expect![[r#"
             = `` is no type; types are `bigint`, `bigint unsigned`, `binary`, `boolean`, `date`, `double`, `int`, `int unsigned`, `interval`, `json`, `real`, `smallint`, `smallint unsigned`, `text`, `tinyint`, `tinyint unsigned`, `uuid`, `time`, `timestamp`, `timestamptz`, `decimal(p,s)`, `list<T>`, `struct<name: T>`
            Int = `Int` is no type; write `int`
            INTEGER = `INTEGER` is no type; write `int`
            varchar(20) = `varchar(20)` is no type; write `text`
            numeric(10,2) = `numeric(10,2)` is no type; write `decimal(10,2)`
            decimal = `decimal` has no precision and scale; write, for example, `decimal(18,2)`
            decimal(0) = the precision of `decimal` is from 1 to 76; 
            decimal(3,5) = the scale 5 is greater than the precision 3; the precision counts all digits, the scale those after the point
            decimal(x) = precision and scale of `decimal` are whole numbers; write, for example, `decimal(18,2)`
            decimal(3 = a closing parenthesis is missing; 
            timestamp(10) = the precision of `timestamp` is a number of digits from 0 to 9; 
            int(11) = `int` takes no parameters; write `int`
            txet = `txet` is no type; did you mean `text`?
            list<int = `list<` is not closed; write `list<T>`
            list<foo> = `foo` is no type; types are `bigint`, `bigint unsigned`, `binary`, `boolean`, `date`, `double`, `int`, `int unsigned`, `interval`, `json`, `real`, `smallint`, `smallint unsigned`, `text`, `tinyint`, `tinyint unsigned`, `uuid`, `time`, `timestamp`, `timestamptz`, `decimal(p,s)`, `list<T>`, `struct<name: T>`
            struct<a> = a field of a struct has no type; write `struct<name: T, …>`
            struct<a: int,> = a field of a struct has no type; write `struct<name: T, …>`
            struct<: int> = a field of a struct has no name; write `struct<name: T, …>`
            struct<a: int>> = `int>` is no type; did you mean `int`?
            geography = `geography` is no type; types are `bigint`, `bigint unsigned`, `binary`, `boolean`, `date`, `double`, `int`, `int unsigned`, `interval`, `json`, `real`, `smallint`, `smallint unsigned`, `text`, `tinyint`, `tinyint unsigned`, `uuid`, `time`, `timestamp`, `timestamptz`, `decimal(p,s)`, `list<T>`, `struct<name: T>`"#]].assert_eq(&lines.join("\n"));
        assert!(check(&"list<".repeat(100_000)).is_err() && check(&format!("{}int{}", "list<".repeat(5_000), ">".repeat(5_000))).is_err());
    }
}
