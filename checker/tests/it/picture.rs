//! The picture of an illegal history: whole, small, and harmless whatever the history holds.

use trandb_checker::{
    Evidence,
    evidence::{Edge, Shown},
    history::OperationId,
    picture::{Bar, Picture, Window},
};

fn evidence(ids: [usize; 2], text: &str) -> Evidence {
    let [a, b] = ids.map(OperationId);
    Evidence {
        anomaly: "G1c".to_owned(),
        sentence: format!("{a} and {b} read from each other: {text}"),
        operations: vec![
            Shown {
                id: a,
                text: text.to_owned(),
                offending: false,
            },
            Shown {
                id: b,
                text: text.to_owned(),
                offending: true,
            },
        ],
        edges: vec![
            Edge {
                from: a,
                to: b,
                kind: "wr",
                reason: text.to_owned(),
            },
            Edge {
                from: b,
                to: a,
                kind: "realtime",
                reason: text.to_owned(),
            },
        ],
    }
}

/// A history of so many writes by three processes, each beside the next.
fn bars(operations: usize) -> Vec<Bar> {
    let event = |kind: &str, index: usize| {
        let process = index % 3;
        format!("{{:process {process} :type :{kind} :f :write :value {index}}}\n")
    };
    let events = (0..operations + 2).flat_map(|index| {
        let returned = index.checked_sub(2).map(|earlier| event("ok", earlier));
        let called = (index < operations).then(|| event("invoke", index));
        returned.into_iter().chain(called)
    });
    let history: String = events.collect();
    let completed = super::completed(&history);
    let mut bars: Vec<Bar> = completed
        .map(|completed| Bar::from(&completed.expect("an operation")))
        .collect();
    bars.sort_by_key(|bar| bar.id);
    bars
}

fn draw(evidence: &[Evidence], operations: usize, name: &str) -> String {
    let window = Window::around(evidence, operations);
    let mut bars = bars(operations);
    bars.retain(|bar| window.contains(bar.id));
    let picture = Picture {
        name,
        model: "register",
        operations,
        evidence,
        window: &window,
        bars: &bars,
    };
    picture.to_string()
}

#[test]
fn a_small_history_is_drawn_whole() {
    let html = draw(&[evidence([1, 3], "write")], 6, "a.edn");
    assert_eq!(html.matches("<rect").count(), 6);
    assert_eq!(html.matches("<rect class=\"offending\"").count(), 1);
    assert_eq!(html.matches("<rect class=\"evidence\"").count(), 1);
    assert_eq!(html.matches("marker-end").count(), 2);
    assert_eq!(html.matches("class=\"lane\"").count(), 3);
    assert!(!html.contains("nearest to the evidence"), "{html}");
}

#[test]
fn of_a_long_history_a_window_is_drawn_and_that_is_said() {
    let html = draw(&[evidence([100, 3000], "write")], 5000, "a.edn");
    assert!(html.contains("Drawn are 34 of 5000 operations"), "{html}");
    assert_eq!(html.matches("<rect").count(), 34);
    assert!(html.contains("2883 more"), "{html}");
    assert!(html.len() < 30_000, "{} bytes", html.len());
}

#[test]
fn no_more_than_eight_pieces_are_drawn() {
    let html = draw(&vec![evidence([1, 3], "write"); 11], 6, "a.edn");
    assert_eq!(html.matches("<section>").count(), 8);
    assert!(
        html.contains("3 more pieces of evidence are not drawn."),
        "{html}"
    );
}

#[test]
fn a_hostile_history_draws_no_markup_and_loads_nothing() {
    let hostile = "<script>alert(1)</script>\" onload='x' \u{1b}[2J\u{202e}&";
    let html = draw(&[evidence([1, 3], hostile)], 6, hostile);
    let plain = draw(&[evidence([1, 3], "write")], 6, "a.edn");
    assert_eq!(html.matches('<').count(), plain.matches('<').count());
    assert!(!html.contains('\u{1b}') && !html.contains('\u{202e}'));
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot; onload=&#39;x&#39;"));
    for part in ["http:", "https:", "url(h", "@import", "src=", "href="] {
        let elsewhere = plain.replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains(part), "{part}");
    }
}

#[test]
fn a_history_without_times_is_drawn_by_process() {
    let lines = "{\"session\":0,\"txn\":0,\"ops\":[[\"w\",0,1]]}\n\
                 {\"session\":0,\"txn\":1,\"ops\":[[\"r\",0,1]]}\n\
                 {\"session\":1,\"txn\":2,\"ops\":[[\"r\",0,1]]}\n";
    let completed = super::completed(lines);
    let bars: Vec<Bar> = completed
        .map(|completed| Bar::from(&completed.expect("a transaction")))
        .collect();
    let evidence = [evidence([0, 2], "r 0 1")];
    let window = Window::around(&evidence, 3);
    let picture = Picture {
        name: "a",
        model: "rw-register",
        operations: 3,
        evidence: &evidence,
        window: &window,
        bars: &bars,
    };
    let html = picture.to_string();
    let lefts: Vec<&str> = html
        .split("<rect class=")
        .skip(1)
        .filter_map(|rect| rect.split("x=\"").nth(1)?.split('"').next())
        .collect();
    assert_eq!(lefts.len(), 3);
    assert_eq!(lefts[0], lefts[2], "each time line begins at the left");
    assert_ne!(lefts[0], lefts[1]);
}
