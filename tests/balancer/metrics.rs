//! What the facade of the `metrics` crate is told.

use super::farm::{Farm, get, whole};
use ajp::balancer::{AdaptiveLimit, BalancerConfig, ClusterConfig, RequestInfo};
use ajp::client::PoolConfig;
use ajp::metrics::{MetricsObserver, record_balancer, record_pool, record_server};
use ajp::server::Monitor;
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// All series by their text form; a histogram as the sum and the count of its values.
#[derive(Debug, Clone, Default)]
struct Book(Arc<Mutex<BTreeMap<String, (f64, u64)>>>);

struct Series(Book, String);

impl Series {
    fn change(&self, change: impl Fn(&mut (f64, u64))) {
        let mut book = self.0.0.lock().unwrap();
        change(book.entry(self.1.clone()).or_default());
    }
}

impl CounterFn for Series {
    fn increment(&self, value: u64) {
        self.change(|(sum, _)| *sum += value as f64);
    }

    fn absolute(&self, value: u64) {
        self.change(|(sum, _)| *sum = value as f64);
    }
}

impl GaugeFn for Series {
    fn increment(&self, value: f64) {
        self.change(|(sum, _)| *sum += value);
    }

    fn decrement(&self, value: f64) {
        self.change(|(sum, _)| *sum -= value);
    }

    fn set(&self, value: f64) {
        self.change(|(sum, _)| *sum = value);
    }
}

impl HistogramFn for Series {
    fn record(&self, value: f64) {
        self.change(|(sum, count)| {
            *sum += value;
            *count += 1;
        });
    }
}

impl Book {
    fn series(&self, key: &Key) -> Arc<Series> {
        let labels: Vec<_> = key
            .labels()
            .map(|l| format!("{}={}", l.key(), l.value()))
            .collect();
        Arc::new(Series(
            self.clone(),
            format!("{} {}", key.name(), labels.join(" ")),
        ))
    }

    fn get(&self, series: &str) -> (f64, u64) {
        let book = self.0.lock().unwrap();
        *book
            .get(series)
            .unwrap_or_else(|| panic!("{series} of {book:#?}"))
    }
}

impl Recorder for Book {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.series(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.series(key))
    }
}

#[tokio::test(start_paused = true)]
async fn numbers_reach_the_facade() {
    let book = Book::default();
    let _guard = metrics::set_default_local_recorder(&book);
    let pools = PoolConfig::default()
        .with_name("a")
        .with_observer(MetricsObserver);
    let farm = Farm::with_pools(1, BalancerConfig::new("farm"), pools);
    for _ in 0..3 {
        whole(farm.balancer.send(get("/")).await.unwrap()).await;
    }
    let phase = |phase: &str| book.get(&format!("ajp_client_phase_seconds pool=a phase={phase}"));
    for name in ["acquire", "write", "first_packet", "body", "total"] {
        assert_eq!(phase(name).1, 3, "{name}");
    }
    let count = "ajp_client_exchanges_total pool=a outcome=completed status=2xx";
    assert!((book.get(count).0 - 3.0).abs() < 0.1);
    assert_eq!(
        book.get("ajp_client_acquire_seconds pool=a outcome=reused")
            .1,
        2
    );

    let is = |series: &str, value: f64| {
        let (got, _) = book.get(series);
        assert!((got - value).abs() < 1e-9, "{series}: {got}");
    };
    record_balancer(&farm.balancer.snapshot());
    is(
        "ajp_member_requests_total balancer=farm member=a outcome=answered",
        3.0,
    );
    is(
        "ajp_member_responses_total balancer=farm member=a status=2xx",
        3.0,
    );
    is("ajp_member_state balancer=farm member=a state=ok", 1.0);
    is("ajp_member_state balancer=farm member=a state=error", 0.0);
    is("ajp_balancer_refused_total balancer=farm reason=full", 0.0);
    // An adaptive limit, and what it refuses.
    let limit = AdaptiveLimit::default().with_initial(1).with_least(1);
    let cluster = ClusterConfig::default().with_adaptive_limit(limit);
    let limited = Farm::new(1, BalancerConfig::new("limited").with_cluster(cluster));
    let held = limited.balancer.pick(&RequestInfo::new()).unwrap();
    assert!(limited.balancer.pick(&RequestInfo::new()).is_err());
    record_balancer(&limited.balancer.snapshot());
    drop(held);
    is("ajp_member_adaptive_limit balancer=limited member=a", 1.0);
    is(
        "ajp_member_adaptive_in_flight balancer=limited member=a",
        1.0,
    );
    is(
        "ajp_member_adaptive_refused_total balancer=limited member=a",
        1.0,
    );
    let pick = farm.balancer.pick(&RequestInfo::new()).unwrap();
    record_pool(&pick.pool().stats());
    is("ajp_pool_connections pool=a state=idle", 1.0);
    is("ajp_pool_created_total pool=a", 1.0);
    is("ajp_pool_completed_total pool=a", 3.0);
    record_server("own", &Monitor::new().stats());
    is("ajp_server_refused_total server=own rule=secret", 0.0);
    is("ajp_server_connections server=own", 0.0);
}
