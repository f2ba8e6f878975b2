//! A report as text and as HTML.

use std::fmt::Write as _;

use comfy_table::{ContentArrangement, Table, presets::ASCII_MARKDOWN};

/// A part of a page.
#[derive(Debug, Clone)]
pub(crate) enum Block {
    Title(String),
    Heading(String),
    Line(String),
    /// What nobody may overlook.
    Loud(String),
    /// To be copied, or printed as it is.
    Code(String),
    Table {
        header: Vec<String>,
        rows: Vec<Vec<String>>,
    },
}

impl Block {
    pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> Self {
        Self::Table {
            header: header.iter().map(|name| (*name).to_owned()).collect(),
            rows,
        }
    }
}

/// For terminals and files.
pub(crate) fn text(blocks: &[Block]) -> String {
    let mut text = String::new();
    for block in blocks {
        let _ = match block {
            Block::Title(line) => writeln!(text, "=== {line} ==="),
            Block::Heading(line) => writeln!(text, "\n--- {line}\n"),
            Block::Line(line) => writeln!(text, "{line}"),
            Block::Loud(line) => writeln!(text, "!!! {line} !!!\n"),
            Block::Code(code) => writeln!(text, "{}", indented(code)),
            Block::Table { header, rows } => {
                let mut table = Table::new();
                table
                    .load_preset(ASCII_MARKDOWN)
                    .set_content_arrangement(ContentArrangement::Disabled)
                    .set_header(header)
                    .add_rows(rows);
                writeln!(text, "{table}")
            }
        };
    }
    text
}

fn indented(code: &str) -> String {
    let lines: Vec<String> = code.lines().map(|line| format!("    {line}")).collect();
    lines.join("\n")
}

/// Colours follow the reader's settings; nothing is fetched.
const HEAD: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem;
         color: light-dark(#1a1a1a, #e6e6e6); background: light-dark(#fff, #161616); }
  pre { padding: .6rem .8rem; overflow-x: auto; background: light-dark(#f2f2f2, #242424); }
  .loud { padding: .6rem .8rem; font-weight: bold; color: #fff; background: #b00020; }
  .scroll { overflow-x: auto; }
  table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
  th, td { padding: .25rem .7rem; text-align: left; border-bottom: 1px solid light-dark(#ccc, #444); }
  td.number { text-align: right; }
</style>
"#;

/// For browsers.
pub(crate) fn html(blocks: &[Block]) -> String {
    let mut html = HEAD.to_owned();
    for block in blocks {
        let _ = match block {
            Block::Title(line) => {
                let line = escaped(line);
                writeln!(html, "<title>{line}</title>\n<h1>{line}</h1>")
            }
            Block::Heading(line) => writeln!(html, "<h2>{}</h2>", escaped(line)),
            Block::Line(line) => writeln!(html, "<p>{}</p>", escaped(line)),
            Block::Loud(line) => writeln!(html, "<p class=\"loud\">{}</p>", escaped(line)),
            Block::Code(code) => writeln!(html, "<pre>{}</pre>", escaped(code)),
            Block::Table { header, rows } => {
                let head: Vec<String> = header.iter().map(|name| escaped(name)).collect();
                let head = format!("<th>{}</th>", head.join("</th><th>"));
                let rows: String = rows.iter().map(|row| html_row(row)).collect();
                writeln!(
                    html,
                    "<div class=\"scroll\"><table>\n<tr>{head}</tr>\n{rows}</table></div>"
                )
            }
        };
    }
    html + "</html>\n"
}

fn html_row(row: &[String]) -> String {
    let cells = row.iter().map(|cell| {
        let number = cell == "-" || cell.bytes().all(|byte| byte.is_ascii_digit());
        let class = if number { " class=\"number\"" } else { "" };
        format!("<td{class}>{}</td>", escaped(cell))
    });
    format!("<tr>{}</tr>\n", cells.collect::<String>())
}

/// As text between tags, or as an attribute in quotes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_found_becomes_a_tag() {
        let evil = || "<b a='1' c=\"2\">&amp;".to_owned();
        let blocks = [
            Block::Title(evil()),
            Block::Heading(evil()),
            Block::Line(evil()),
            Block::Loud(evil()),
            Block::Code(evil()),
            Block::Table {
                header: vec![evil()],
                rows: vec![vec![evil()]],
            },
        ];
        let html = html(&blocks);
        assert!(!html.contains("<b"), "{html}");
        let right = "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;amp;";
        // The title stands twice.
        assert_eq!(html.matches(right).count(), blocks.len() + 2, "{html}");
        assert!(text(&blocks).contains(&evil()));
    }
}
