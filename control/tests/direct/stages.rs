//! Measuring the stages of workers: switched by a call, by the configuration, and shown.

use ringlay_control::{
    config::Config,
    proto::{GetStatsRequest, SetStagesRequest, stats_service_client::StatsServiceClient},
};

use super::{CONFIG, node::Node};

#[tokio::test]
async fn stages_are_switched_by_calls_and_by_reloads() {
    let node = Node::start(CONFIG).await;
    let mut stats = StatsServiceClient::new(node.channel.clone());
    let measures = || node.host.with(|host| host.measures_stages);
    let reload = |text: &str| {
        let config = Config::parse("x.toml".as_ref(), text.to_owned()).unwrap();
        node.engine.lock().unwrap().reload(&config).unwrap();
    };
    assert!(!node.show_config().await.contains("stages"));
    for on in [true, false] {
        let reply = stats.set_stages(SetStagesRequest { on }).await.unwrap();
        assert_eq!(reply.into_inner().instance.unwrap().uuid, node.uuid);
        assert_eq!(measures(), on);
        assert_eq!(node.show_config().await.contains("stages = true"), on);
    }
    reload(&format!("[dataplane]\nstages = true\n{CONFIG}"));
    assert!(measures());
    reload(CONFIG);
    assert!(!measures());
    let shown = stats.get_stats(GetStatsRequest {}).await.unwrap();
    let shown = shown.into_inner().stats.unwrap();
    assert_eq!(shown.stages, None, "nothing was ever measured here");
}
