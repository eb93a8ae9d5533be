//! `local-stack run`, with stand-ins for the services.

use std::net::TcpListener;

use crate::site::{Running, Site, ask, is_running, text, wait_until};

fn pid(port: u16) -> u32 {
    let environment = ask(port, "/environment");
    environment.lines().find_map(|line| line.strip_prefix("PID=")).unwrap().parse().unwrap()
}

/// The pids of all that a `run` started.
fn pids(site: &Site) -> Vec<u32> {
    let status = local_stack::status(&site.data_dir()).unwrap().unwrap();
    let servers = status.servers().map(|server| server.pid.unwrap());
    [pid(site.cart), pid(site.order)].into_iter().chain(servers).collect()
}

#[test]
fn everything_comes_up_and_ctrl_c_stops_the_services_before_the_broker() {
    let site = Site::new();
    let mut running = Running::start(site.run());
    let banner = running.wait_for("order-details?orderId=");
    assert!(banner.contains(&format!("http://localhost:{}/create-order", site.cart)), "{banner}");
    for port in [site.cart, site.order] {
        assert!(banner.contains(&format!("http://localhost:{port}/docs")), "{banner}");
    }

    let environment = ask(site.cart, "/environment");
    for expected in [
        "BIND=127.0.0.1".to_owned(),
        format!("KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:{}", site.kafka),
        format!("SCHEMA_REGISTRY_URL=http://127.0.0.1:{}/apis/ccompat/v7", site.registry),
        format!("ORDER_SERVICE_URL=http://127.0.0.1:{}", site.order),
    ] {
        assert!(environment.lines().any(|line| line == expected), "no {expected} in {environment}");
    }
    let pids = pids(&site);

    let second = site.run().output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second).contains(&running.pid().to_string()), "{}", text(&second));
    let down = site.command("down").output().unwrap();
    assert!(!down.status.success() && text(&down).contains("belongs to"), "{}", text(&down));
    let up = site.up().output().unwrap();
    assert!(up.status.success() && text(&up).contains("already up"), "{}", text(&up));

    running.interrupt();
    let (code, output, errors) = running.finish();
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{output}");
    assert_eq!(output.matches("stand-in: stopping before the broker").count(), 2, "{output}");
    assert!(!pids.into_iter().any(is_running));
}

#[test]
fn three_brokers_come_up_with_services_that_want_three_replicas() {
    let site = Site::new();
    let mut three = site.run();
    three.args(["--brokers", "3"]);
    let mut running = Running::start(three);
    running.wait_for("Everything is up");
    let environment = ask(site.cart, "/environment");
    assert!(environment.lines().any(|line| line == "TOPIC_REPLICATION_FACTOR=3"), "{environment}");
    let pids = pids(&site);
    assert_eq!(pids.len(), 2 + 3 + 1);
    let status = site.command("status").output().unwrap();
    assert!(status.status.success() && text(&status).contains("Kafka broker 3"), "{}", text(&status));

    running.interrupt();
    let (code, output, errors) = running.finish();
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{output}");
    assert!(!pids.into_iter().any(is_running));
    let refused = site.up().output().unwrap();
    assert!(!refused.status.success() && text(&refused).contains("BROKERS=3"), "{}", text(&refused));
}

#[test]
fn a_killed_run_takes_everything_with_it() {
    let site = Site::new();
    let mut running = Running::start(site.run());
    running.wait_for("Everything is up");
    let pids = pids(&site);
    running.kill();
    wait_until("the children of a killed run are gone", || !pids.iter().copied().any(is_running));
}

#[test]
fn a_service_that_dies_ends_the_run_with_an_error() {
    let site = Site::new();
    let mut running = Running::start(site.run());
    running.wait_for("Everything is up");
    let pids = pids(&site);
    assert!(ureq::get(format!("http://127.0.0.1:{}/die", site.order)).call().is_err());
    let (code, output, errors) = running.finish();
    assert_eq!(code, Some(1));
    assert!(errors.contains("order-service ended with exit code 3"), "{errors}");
    assert!(output.contains("order-service | stand-in: told to die"), "{output}");
    assert!(!pids.into_iter().any(is_running));
}

#[test]
fn a_signal_during_the_start_stops_what_was_started() {
    let site = Site::new();
    let mut running = Running::start(site.run());
    running.wait_for("starting Kafka");
    running.terminate();
    let (code, output, errors) = running.finish();
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{output}");
    if let Some(status) = local_stack::status(&site.data_dir()).unwrap() {
        assert!(status.servers().all(|server| server.pid.is_none()), "{status:?}");
    }
}

#[test]
fn a_service_that_refuses_to_start_is_quoted_and_a_stack_that_was_up_stays_up() {
    let site = Site::new();
    assert!(site.up().output().unwrap().status.success());
    let refused = site.run().env("STAND_IN_REFUSES", "1").output().unwrap();
    let stays_up = site.command("status").output().unwrap();
    site.command("down").output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused).contains("| stand-in: my configuration is wrong"), "{}", text(&refused));
    assert!(stays_up.status.success(), "{}", text(&stays_up));
}

#[test]
fn what_is_missing_is_told_before_anything_is_started() {
    let site = Site::new();
    let mut command = site.command("run");
    let missing = command.args(["--cart-service", "no/such/program"]).output().unwrap();
    assert!(text(&missing).contains("no/such/program: build it"), "{}", text(&missing));

    let _other = TcpListener::bind(("127.0.0.1", site.order)).unwrap();
    let refused = site.run().output().unwrap();
    assert!(text(&refused).contains("ORDER_PORT="), "{}", text(&refused));
    assert!(local_stack::status(&site.data_dir()).unwrap().is_none());
}
