//! Columns of text that stand under each other.

/// A header and lines, each cell as wide as its column.
pub(crate) fn aligned(header: &[&str], lines: impl Iterator<Item = Vec<String>>) -> String {
    let all: Vec<Vec<String>> = std::iter::once(header.iter().map(ToString::to_string).collect()).chain(lines).collect();
    let width = |column: usize| all.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut out = String::new();
    for line in &all {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::aligned;

    #[test]
    fn cells_stand_under_each_other() {
        let lines = [vec!["a".to_owned(), "x".to_owned()], vec!["bÿd".to_owned(), String::new()]];

        assert_eq!(aligned(&["n", "value"], lines.into_iter()), "n    value\na    x\nbÿd\n");
    }
}
