//! A process that cannot start says why, and ends with a code that is not 0.

use trandb_integration_tests::process::{Process, run_to_exit};

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let first = Process::start(&[]);
    let address = first.address().to_string();
    let second = run_to_exit(&["--listen", &address], &[]).await;
    assert_eq!(second.code, Some(1), "{}", second.errors);
    let expected = format!("trandb-server: cannot listen on {address}; --listen says where else: ");
    assert!(second.errors.contains(&expected), "{}", second.errors);
    assert!(second.errors.contains("in use"), "{}", second.errors);
}

#[tokio::test]
async fn flags_and_variables_that_make_no_sense_are_named() {
    for (flag, value) in [
        ("--listen", "localhost"),
        ("--shards", "0"),
        ("--memory-limit", "lots"),
        ("--memory-limit", "0%"),
        ("--in-flight-limit", "-1"),
        ("--connections-max", "0"),
        ("--header-timeout", "5"),
        ("--header-timeout", "0s"),
        ("--write-timeout", "1ms"),
        ("--log-format", "xml"),
    ] {
        let by_flag = run_to_exit(&[&format!("{flag}={value}")], &[]).await;
        let variable = format!("TRANDB_{}", flag[2..].to_uppercase().replace('-', "_"));
        let by_variable = run_to_exit(&[], &[(&variable, value)]).await;
        for exited in [by_flag, by_variable] {
            assert_eq!(exited.code, Some(2), "{flag} {value}: {}", exited.errors);
            assert!(
                exited.errors.contains(flag),
                "{flag} {value}: {}",
                exited.errors
            );
            assert!(
                exited.errors.contains(value),
                "{flag} {value}: {}",
                exited.errors
            );
        }
    }
    let exited = run_to_exit(&["--memory-limit", "512 monkeys"], &[]).await;
    let example = "a size looks like 512MiB";
    assert!(exited.errors.contains(example), "{}", exited.errors);
    for arguments in [
        &["--unknown"][..],
        &["serve"],
        &["--shards"],
        &["--shards", "1", "--shards", "2"],
    ] {
        let exited = run_to_exit(arguments, &[]).await;
        assert_eq!(exited.code, Some(2), "{arguments:?}: {}", exited.errors);
        assert!(
            exited.errors.contains(arguments[0]),
            "{arguments:?}: {}",
            exited.errors
        );
    }
    let exited = run_to_exit(&["--log", "trandb=loud"], &[]).await;
    assert_eq!(exited.code, Some(1), "{}", exited.errors);
    assert!(exited.errors.contains("--log"), "{}", exited.errors);
}

#[tokio::test]
async fn limits_that_are_too_small_to_serve_with_are_refused_with_a_remedy() {
    for (flag, value, remedy) in [
        ("--memory-limit", "0", "give it 5MiB or more"),
        ("--memory-limit", "512", "give it 5MiB or more"),
        ("--in-flight-limit", "4MiB", "give it 7MiB or more"),
    ] {
        let exited = run_to_exit(&[flag, value], &[]).await;
        assert_eq!(exited.code, Some(1), "{flag} {value}: {}", exited.errors);
        let expected = format!("trandb-server: {flag} ");
        assert!(exited.errors.contains(&expected), "{}", exited.errors);
        assert!(exited.errors.contains(remedy), "{}", exited.errors);
    }
}

#[tokio::test]
async fn the_health_check_asks_the_server_that_listens() {
    let process = Process::start(&[]);
    let address = process.address().to_string();
    let healthy = run_to_exit(&["healthcheck", "--listen", &address], &[]).await;
    assert_eq!(healthy.code, Some(0), "{}", healthy.errors);
    drop(process);
    let gone = run_to_exit(&["healthcheck"], &[("TRANDB_LISTEN", &address)]).await;
    assert_eq!(gone.code, Some(1), "{}", gone.errors);
    assert!(gone.errors.contains(&address), "{}", gone.errors);
}
