//! `ringlay route import`, against a node in this process.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use super::{CONFIG, generate, node::Node};

/// Imports this text by standard input; returns the result, or what went wrong and the status.
pub(crate) fn import(node: &Node, text: &str, args: &[&str]) -> Result<Value, (String, i32)> {
    let output = ringlay(
        node,
        &[
            &["route", "import", "-", "--network", "blue", "--json"],
            args,
        ]
        .concat(),
        text,
    );
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout).unwrap());
    }
    let stderr = String::from_utf8(output.stderr).unwrap();
    Err((stderr, output.status.code().unwrap()))
}

fn ringlay(node: &Node, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringlay"))
        .arg("--socket")
        .arg(&node.socket)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Whoever stops reading early says why.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_loaded_and_replaced() {
    let node = Node::start(CONFIG).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        file.path(),
        "10.1.0.0/16 192.0.2.1,192.0.2.2\n10.2.0.0/16 port rl0\n",
    )
    .unwrap();
    let path = file.path().to_str().unwrap();
    let output = ringlay(&node, &["route", "import", path, "--network", "blue"], "");
    let stdout = text(output.stdout);
    assert!(
        stdout.starts_with("2 routes: 2 added, 0 changed, 0 unchanged, 0 removed; "),
        "{stdout}"
    );
    let result = import(&node, "10.2.0.0/16 drop\n", &["--replace"]).unwrap();
    for (key, count) in [
        ("received", 1),
        ("added", 0),
        ("changed", 1),
        ("removed", 1),
    ] {
        assert_eq!(result[key], count, "{key}: {result}");
    }
    let listed = text(ringlay(&node, &["route", "list"], "").stdout);
    let expected = "10.0.2.0/24 network blue vtep 192.0.2.1 source static\n\
                    10.2.0.0/16 network blue drop source import\n";
    assert_eq!(listed, expected);
    let matching = ringlay(
        &node,
        &["route", "list", "--match", "10.2.3.4", "--json"],
        "",
    );
    let matching: Value = serde_json::from_slice(&matching.stdout).unwrap();
    assert_eq!(
        (matching.as_array().unwrap().len(), &matching[0]["prefix"]),
        (1, &"10.2.0.0/16".into())
    );
    let none = ringlay(
        &node,
        &["route", "list", "--match", "11.2.3.4", "--json"],
        "",
    );
    assert_eq!(text(none.stdout), "[]\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_named_with_file_and_line() {
    let node = Node::start(CONFIG).await;
    let good = generate::lines(50_000, 0, &["192.0.2.1"]);
    for (line, problem) in [
        (
            "10.1.0.0/16",
            "-:50003: 10.1.0.0/16: has no next hop behind the prefix; nothing was loaded",
        ),
        (
            "10.1.0.0/16 192.0.2.9",
            "-:50003: route 10.1.0.0/16 network blue: vtep: the network has no vtep 192.0.2.9; add the vtep",
        ),
        (
            "64.0.0.0/21 drop",
            "-:50003: 64.0.0.0/21: record 1 has this prefix already",
        ),
    ] {
        let input = format!("# a comment\n\n{good}{line}\n# more\n10.9.0.0/16 drop\n");
        let (error, code) = import(&node, &input, &[]).unwrap_err();
        assert!(error.starts_with(&format!("ringlay: {problem}")), "{error}");
        assert!(error.ends_with("nothing was loaded\n"), "{error}");
        assert_eq!(code, 2);
    }
    let (error, _) = import(&node, &good, &["--source", "static"]).unwrap_err();
    assert!(
        error.contains("static objects come from the configuration file"),
        "{error}"
    );
    let missing = ringlay(
        &node,
        &[
            "route",
            "import",
            "/nonexistent/routes",
            "--network",
            "blue",
        ],
        "",
    );
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(missing.stderr).contains("/nonexistent/routes: No such file"));
    let listed = text(ringlay(&node, &["route", "list"], "").stdout);
    assert_eq!(listed.lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_prints_the_difference() {
    let node = Node::start(CONFIG).await;
    import(&node, "10.1.0.0/16 drop\n10.2.0.0/16 drop\n", &[]).unwrap();
    let args = [
        "route",
        "import",
        "-",
        "--network",
        "blue",
        "--replace",
        "--dry-run",
    ];
    let output = ringlay(&node, &args, "10.2.0.0/16 192.0.2.1\n10.3.0.0/16 drop\n");
    let expected = "+ 10.3.0.0/16 network blue drop\n\
                    ~ 10.2.0.0/16 network blue vtep 192.0.2.1\n\
                    - 10.1.0.0/16 network blue\n\
                    2 routes: 1 added, 1 changed, 0 unchanged, 1 removed; nothing was done\n";
    assert_eq!(text(output.stdout), expected);
}
