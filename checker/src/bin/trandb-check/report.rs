//! How a verdict is told: words or JSON, an exit code, and a picture of what is illegal.

use std::{
    fmt::{self, Write as _},
    fs,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use serde_json::{Value as Json, json};
use trandb_checker::{
    Evidence, Verdict,
    escape::{self, Line},
    history::{BadHistory, Operations},
    picture::{Bar, Picture, Window},
};

use crate::{
    args::Arguments,
    judge::{Judgement, Place},
    source::Source,
};

/// All that there is to say.
pub(crate) struct Report {
    name: String,
    model: String,
    result: Result<Judgement, BadHistory>,
    picture: Option<PathBuf>,
}

impl Report {
    /// Draws the picture, if there is to be one.
    pub(crate) fn new(
        arguments: &Arguments,
        source: &Source,
        result: Result<Judgement, BadHistory>,
    ) -> Self {
        let mut report = Self {
            name: Source::name(arguments),
            model: arguments.model.name(),
            result,
            picture: None,
        };
        if let Some(path) = picture_path(arguments, source)
            && let Ok(judgement) = &report.result
            && let Verdict::Illegal(evidence) = &judgement.verdict
        {
            match report.draw(arguments, source, judgement, evidence) {
                Ok(html) => match fs::write(&path, html) {
                    Ok(()) => report.picture = Some(path),
                    Err(error) => complain(&format!("{}: {error}", path.display())),
                },
                Err(error) => complain(&format!("no picture: {error}")),
            }
        }
        report
    }

    /// Of a history that could not be opened.
    pub(crate) fn unreadable(arguments: &Arguments, reason: String) -> Self {
        Self {
            name: Source::name(arguments),
            model: arguments.model.name(),
            result: Err(BadHistory::whole(reason)),
            picture: None,
        }
    }

    /// To standard output; what cannot be judged to standard error, unless as JSON.
    ///
    /// A history without operations is legal, but seldom what was meant: that is said besides.
    pub(crate) fn print(&self, as_json: bool) {
        if let Ok(Judgement { operations: 0, .. }) = self.result {
            complain(&format!(
                "{} has no operations: nothing was judged",
                self.name
            ));
        }
        if as_json {
            print(&format!("{}\n", escape::json(&self.json().to_string())));
        } else if self.result.is_ok() {
            print(&self.to_string());
        } else {
            complain(&self.to_string());
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match &self.result {
            Ok(Judgement {
                verdict: Verdict::Ok,
                ..
            }) => ExitCode::SUCCESS,
            Ok(Judgement {
                verdict: Verdict::Illegal(_),
                ..
            }) => ExitCode::from(1),
            Ok(Judgement {
                verdict: Verdict::Unknown(_),
                ..
            })
            | Err(_) => ExitCode::from(2),
        }
    }

    fn draw(
        &self,
        arguments: &Arguments,
        source: &Source,
        judgement: &Judgement,
        evidence: &[Evidence],
    ) -> Result<String, BadHistory> {
        let window = Window::around(evidence, judgement.operations);
        let (events, progress) = source.events(arguments)?;
        let mut bars = Vec::new();
        let come_back = judgement.format.lets_processes_come_back();
        for completed in Operations::new(events).letting_processes_come_back(come_back) {
            let completed = completed?;
            if window.contains(completed.id) {
                bars.push(Bar::from(&completed));
            }
        }
        progress.finish_and_clear();
        bars.sort_unstable_by_key(|bar| bar.id);
        let picture = Picture {
            name: &self.name,
            model: &self.model,
            operations: judgement.operations,
            evidence,
            window: &window,
            bars: &bars,
        };
        Ok(picture.to_string())
    }

    fn json(&self) -> Json {
        let mut object = json!({ "file": self.name, "model": self.model });
        let judgement = match &self.result {
            Ok(judgement) => judgement,
            Err(bad) => {
                object["verdict"] = "unusable".into();
                object["line"] = bad.line.into();
                object["reason"] = bad.reason.as_str().into();
                return object;
            }
        };
        object["format"] = judgement.format.name().into();
        object["operations"] = judgement.operations.into();
        match &judgement.verdict {
            Verdict::Ok => object["verdict"] = "legal".into(),
            Verdict::Unknown(reason) => {
                object["verdict"] = "unknown".into();
                object["reason"] = reason.as_str().into();
            }
            Verdict::Illegal(evidence) => {
                let evidence = evidence.iter().map(|e| evidence_json(e, &judgement.places));
                object["verdict"] = "illegal".into();
                object["evidence"] = evidence.collect();
                let picture = self.picture.as_ref().map(|path| path.to_string_lossy());
                object["picture"] = picture.into();
            }
        }
        object
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, model, .. } = self;
        let judgement = match &self.result {
            Ok(judgement) => judgement,
            Err(BadHistory {
                line: Some(line),
                reason,
            }) => {
                return write!(f, "{name}:{line}: {}", Line(reason));
            }
            Err(BadHistory { line: None, reason }) => return write!(f, "{name}: {}", Line(reason)),
        };
        let Judgement {
            format,
            operations,
            places,
            verdict,
        } = judgement;
        let what = format!("{name} ({model}, {format}, {operations} operations)");
        match verdict {
            Verdict::Ok => writeln!(f, "legal: {what}"),
            Verdict::Unknown(reason) => writeln!(f, "unknown: {what}: {}", Line(reason)),
            Verdict::Illegal(evidence) => {
                writeln!(f, "illegal: {what}")?;
                for evidence in evidence {
                    writeln!(f)?;
                    tell(evidence, places, f)?;
                }
                match &self.picture {
                    None => Ok(()),
                    Some(path) => {
                        writeln!(f, "\npicture: {}", Line(&path.to_string_lossy()))
                    }
                }
            }
        }
    }
}

/// The evidence, with each operation's place.
fn tell(evidence: &Evidence, places: &[Place], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut told = evidence.clone();
    for shown in &mut told.operations {
        if let Some(place) = places.get(shown.id.0) {
            let mut head = format!("process {}, line {}", place.process, place.call_line);
            match place.ret_line {
                Some(line) if line == place.call_line => {}
                Some(line) => write!(head, " to {line}")?,
                None => head.push_str(" and open"),
            }
            shown.text = format!("{head}: {}", shown.text);
        }
    }
    write!(f, "{told}")
}

fn evidence_json(evidence: &Evidence, places: &[Place]) -> Json {
    let operations = evidence.operations.iter().map(|shown| {
        let place = places.get(shown.id.0);
        json!({
            "id": shown.id.0,
            "process": place.map(|place| place.process),
            "line": place.map(|place| place.call_line),
            "returns_in_line": place.and_then(|place| place.ret_line),
            "text": shown.text,
            "offending": shown.offending,
        })
    });
    let edges = evidence.edges.iter().map(|edge| {
        json!({
            "from": edge.from.0,
            "to": edge.to.0,
            "kind": edge.kind,
            "reason": edge.reason,
        })
    });
    json!({
        "anomaly": evidence.anomaly,
        "sentence": evidence.sentence,
        "operations": operations.collect::<Vec<_>>(),
        "edges": edges.collect::<Vec<_>>(),
    })
}

fn picture_path(arguments: &Arguments, source: &Source) -> Option<PathBuf> {
    match (&arguments.html, source) {
        _ if arguments.no_html => None,
        (Some(path), _) => Some(path.clone()),
        (None, Source::File(path)) => {
            let mut name = path.clone().into_os_string();
            name.push(".html");
            Some(name.into())
        }
        (None, Source::Stdin | Source::Pipe(_) | Source::Kept(_)) => None,
    }
}

/// Whoever reads the output may go away: that changes no verdict.
fn print(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "trandb-check: {}", Line(text));
}
