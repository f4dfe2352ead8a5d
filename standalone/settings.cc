#include "standalone/settings.h"

namespace barid {
namespace {

void AddProcessSettings(Settings* s, SettingsTable* t) {
  t->Add("data_dir", &s->data_dir, Default("./barid-data"), kNeedsRestart,
         "Where everything that must survive is kept. One process at a time.");
  t->Add("log.level", &s->log_level, Default(LogLevel::kInfo),
         OneOf<LogLevel>({{"debug", LogLevel::kDebug},
                          {"info", LogLevel::kInfo},
                          {"warning", LogLevel::kWarning},
                          {"error", LogLevel::kError}}),
         kNeedsRestart, "The least important lines that are logged.");
  t->Add("log.format", &s->log_format, Default(LogFormat::kText),
         OneOf<LogFormat>({{"text", LogFormat::kText}, {"json", LogFormat::kJson}}), kNeedsRestart,
         "How a log line is written.");
  t->Add("drain_timeout", &s->drain_timeout, Default(absl::Seconds(25)),
         Between(absl::ZeroDuration(), absl::Minutes(10)), kNeedsRestart,
         "How long calls that run may still take after SIGTERM.");
  t->Add("admin.listen", &s->admin_listen, Default("127.0.0.1:8082"), kNeedsRestart,
         "Address of the admin port (gRPC), or unix:/path: health, and where there is a proxy barid.admin.v1. Port 0 "
         "takes a "
         "free one.");
  t->Add("metrics.listen", &s->metrics_listen, Default("127.0.0.1:9464"), kNeedsRestart,
         "Address of the metrics port (HTTP), for Prometheus. Port 0 takes a free one.");
}

void AddPublicSettings(Role role, Settings* s, SettingsTable* t) {
  const bool standalone = role == Role::kStandalone;
  edge::h2::H2ServerOptions* const port = &s->public_port;
  edge::PortLimits* const limits = &port->limits;
  proxy::ProxyOptions* const p = &s->proxy;
  t->Add("public.listen", &s->public_listen, Default(standalone ? "127.0.0.1:8081" : "0.0.0.0:8081"), kNeedsRestart,
         "Address of the port for clients (gRPC, apache.rocketmq.v2), or unix:/path. Port 0 takes a free one.");
  t->Add("public.advertise", &p->advertised_address, Default(""), kNeedsRestart,
         "host:port that routes name to clients that do not say how they came here. Empty: the public port's own "
         "address.");
  t->Add("public.admin", &s->public_admin, Default(standalone), kNeedsRestart,
         "Whether barid.admin.v1 and apache.rocketmq.v2.Admin are served on the public port too.");
  t->Add("public.health", &s->public_health, Default(true), kNeedsRestart,
         "Whether grpc.health.v1 is served on the public port too, for load balancers.");
  t->Add("public.reflection", &s->public_reflection, Default(standalone), kNeedsRestart,
         "Whether grpc.reflection.v1 is served on the public port too, for tools like grpcurl.");
  t->Add("public.threads", &s->public_threads, Default(int32_t{0}), Between(int32_t{0}, int32_t{64}), kNeedsRestart,
         "Threads that serve the public port, each with connections of its own. 0: half as many as there are cores for "
         "this process (affinity, the container's CPU limit), at least one.");
  t->Add("public.gather", &s->public_gather, Default(edge::h2::kGather),
         Between(absl::ZeroDuration(), absl::Milliseconds(1)), kNeedsRestart,
         "How long such a thread may wait for more calls, while many come, before it handles those that are there "
         "(docs/edge.md). 0: never.");
  t->Add("public.max_request", &limits->max_request_bytes, Default(20 * kMiB), Between(1 * kMiB, 1 * kGiB),
         kNeedsRestart, "Largest request that is read.");
  t->Add("public.max_metadata", &limits->max_metadata_bytes, Default(16 * kKiB), Between(4 * kKiB, 1 * kMiB),
         kNeedsRestart, "Largest set of request headers.");
  t->Add("public.max_connections", &limits->max_connections, Default(int32_t{10000}),
         Between(int32_t{1}, int32_t{1000000}), kNeedsRestart, "Connections at one time.");
  t->Add("public.max_streams", &limits->max_streams_per_connection, Default(int32_t{1000}),
         Between(int32_t{16}, int32_t{100000}), kNeedsRestart, "Calls at one time on one connection.");
  t->Add("public.max_inflight", &limits->max_inflight_request_bytes, Default(256 * kMiB), Between(16 * kMiB, 64 * kGiB),
         kNeedsRestart,
         "Bytes of requests that are being answered, and of answers that wait for their clients; more are refused.");
  t->Add("public.max_connections_per_address", &limits->max_connections_per_address, Default(int32_t{0}),
         Between(int32_t{0}, int32_t{1000000}), kNeedsRestart,
         "Connections of one address at one time. 0: as many as in all.");
  t->Add("public.max_connection_inflight", &limits->max_connection_request_bytes, Default(64 * kMiB),
         Between(1 * kMiB, 64 * kGiB), kNeedsRestart,
         "Bytes of one connection: requests that are being read or answered, and answers that wait for it; more are "
         "refused. Of a receive, what fits is given and the rest comes to another; one that is larger is given to a "
         "connection that has nothing else to read.");
  t->Add("public.handshake_timeout", &limits->handshake_timeout, Default(absl::Seconds(10)),
         Between(absl::Milliseconds(100), absl::Minutes(10)), kNeedsRestart,
         "Time for a new connection to finish its TLS handshake and HTTP/2 preface.");
  t->Add("public.request_timeout", &limits->request_timeout, Default(absl::Seconds(60)),
         Between(absl::Seconds(1), absl::Hours(1)), kNeedsRestart,
         "Time for the headers of a call, and for each of its messages, to come.");
  t->Add("public.answer_timeout", &limits->answer_timeout, Default(absl::Seconds(60)),
         Between(absl::Seconds(1), absl::Hours(1)), kNeedsRestart,
         "A call whose client takes nothing of what there is for it is reset after so long.");
  t->Add("public.max_control_frames", &limits->max_control_frames, Default(int32_t{10000}),
         Between(int32_t{10}, int32_t{10000000}), kNeedsRestart,
         "Pings, settings, priorities and empty frames of one connection a second; ten times as many at once.");
  t->Add("public.max_resets", &limits->max_resets, Default(int32_t{200}), Between(int32_t{10}, int32_t{10000000}),
         kNeedsRestart, "Calls that one connection cancels a second; ten times as many at once.");
  t->Add("public.proxy_protocol", &port->proxy_protocol, Default(false), kNeedsRestart,
         "Whether every connection begins with a PROXY header, version 1 or 2, from the load balancer in front. Others "
         "are closed.");
  t->Add("public.keepalive_time", &port->keepalive_time, Default(absl::Seconds(60)),
         Between(absl::Seconds(1), absl::Hours(24)), kNeedsRestart,
         "A connection that is silent for so long is pinged.");
  t->Add("public.keepalive_timeout", &port->keepalive_timeout, Default(absl::Seconds(20)),
         Between(absl::Seconds(1), absl::Hours(1)), kNeedsRestart, "And closed if it does not answer for so long.");
  t->Add("public.max_idle", &port->max_idle, Default(absl::InfiniteDuration()),
         Between(absl::Seconds(1), absl::InfiniteDuration()), kNeedsRestart,
         "A connection without calls is closed after so long.");
  t->Add("public.max_age", &port->max_age, Default(absl::InfiniteDuration()),
         Between(absl::Seconds(1), absl::InfiniteDuration()), kNeedsRestart,
         "A connection is told to go after so long, so that clients spread over new proxies.");
  t->Add("public.max_age_grace", &port->max_age_grace, Default(absl::Minutes(5)),
         Between(absl::Seconds(1), absl::InfiniteDuration()), kNeedsRestart, "And closed so much later.");
  t->Add("public.tls_certificate", &port->tls.certificate_chain, Default(""), kNeedsRestart,
         "File with the certificate chain (PEM): the public port speaks TLS beside cleartext. Read again when it "
         "changes.");
  t->Add("public.tls_key", &port->tls.private_key, Default(""), kNeedsRestart, "File with its private key (PEM).");
  t->Add("public.tls_client_authorities", &port->tls.client_authorities, Default(""), kNeedsRestart,
         "File with authorities (PEM): a client that shows a certificate must have it from one of them.");
  t->Add("public.tls_require_client", &port->tls.requires_client_certificate, Default(false), kNeedsRestart,
         "Whether clients that speak TLS must show a certificate. Cleartext is served on the same port as before.");
  t->Add("public.tls_self_signed", &s->public_self_signed, Default(standalone), kNeedsRestart,
         "Without public.tls_certificate: whether one is made, in <data_dir>/tls, that only clients that check nothing "
         "accept.");
  t->Add("proxy.name", &p->name, Default("proxy-0"), kNeedsRestart, "This proxy's name: unique in the cluster.");
  t->Add("proxy.max_poll", &p->max_poll, Default(absl::Seconds(20)), Between(absl::Seconds(1), absl::Minutes(10)),
         kNeedsRestart, "Longest time that a receive waits for a message.");
  t->Add("proxy.enforce_message_types", &p->enforce_message_types, Default(true), kNeedsRestart,
         "A topic takes messages of its own type only. Else NORMAL, FIFO, DELAY and PRIORITY messages are taken by "
         "every topic "
         "but LITE ones, and do what their type says as far as the topic can.");
  t->Add("proxy.max_delay", &p->max_delay, Default(absl::Hours(40 * 24)),
         Between(absl::Seconds(1), absl::Hours(24 * 3660)), kNeedsRestart, "How far ahead a message may be scheduled.");
  t->Add("proxy.max_transaction_recovery", &p->max_transaction_recovery, Default(absl::Hours(1)),
         Between(absl::Seconds(1), absl::Hours(24)), kNeedsRestart,
         "How long a message may ask that its producer is not asked about its transaction.");
  t->Add("proxy.transaction_poll_interval", &p->transaction_poll_interval, Default(absl::Seconds(1)),
         Between(absl::Milliseconds(10), absl::Minutes(1)), kNeedsRestart,
         "How often transactions to be checked are taken from the brokers, while there are live producers of their "
         "topics.");
  t->Add("proxy.max_batch_messages", &p->limits.max_batch_messages, Default(int32_t{1024}),
         Between(int32_t{1}, int32_t{65536}), kNeedsRestart, "Messages in one send.");
  t->Add("proxy.max_batch_bytes", &p->limits.max_batch_bytes, Default(16 * kMiB), Between(1 * kMiB, 100 * kMiB),
         kNeedsRestart, "Bodies in one send.");
  t->Add("proxy.max_receive_bytes", &p->limits.max_receive_bytes, Default(8 * kMiB), Between(64 * kKiB, 256 * kMiB),
         kNeedsRestart, "Messages in one receive's answer; one is given however large it is.");
  t->Add("proxy.max_lite_subscriptions", &p->limits.max_lite_subscriptions, Default(2000), Between(1, 1000000),
         kNeedsRestart,
         "Lite topics that one client reads. Clients are told; it is held to in each call and in each shard.");
  t->Add("proxy.max_inflight_sends", &p->limits.max_inflight_send_bytes, Default(256 * kMiB),
         Between(16 * kMiB, 64 * kGiB), kNeedsRestart,
         "Bytes of messages that were taken and are not answered yet; more are refused.");
  t->Add("proxy.max_waiting_receives", &p->limits.max_waiting_receives_per_client, Default(int32_t{1024}),
         Between(int32_t{16}, int32_t{100000}), kNeedsRestart, "Receives of one client that wait at one time.");
  t->Add("proxy.client_expiry", &p->client_expiry, Default(absl::Seconds(120)),
         Between(absl::Seconds(35), absl::Hours(1)), kNeedsRestart,
         "A client without any call or stream for so long is forgotten.");
  t->Add("auto_create.topics", &p->auto_create_topics, Default(standalone), kNeedsRestart,
         "Whether an unknown topic that is asked for or sent to is created, of type normal.");
  t->Add("auto_create.groups", &p->auto_create_groups, Default(standalone), kNeedsRestart,
         "Whether an unknown group that receives is created.");
  t->Add(
      "auto_create.member_prefix", &p->member_group_prefix, Default(standalone ? "%MEMBER%" : ""), kNeedsRestart,
      "An unknown group whose name begins so is created for one member: it starts with what is sent from now on, and "
      "goes when no member was seen for auto_create.member_expiry. Empty: none is.");
  t->Add("auto_create.member_expiry", &p->member_group_expiry, Default(absl::Hours(1)),
         Between(kMinGroupExpiry, kMaxGroupExpiry), kNeedsRestart, "And it is deleted after so long without a member.");
  t->Add("proxy.report_interval", &p->client_report_interval, Default(absl::Seconds(5)),
         Between(absl::Milliseconds(100), absl::Seconds(30)), kNeedsRestart,
         "How often brokers are told which clients are alive, and the controller which groups that expire have a "
         "member.");
  t->Add("auto_create.queues", &p->auto_create_queues, Default(int32_t{4}), Between(int32_t{1}, int32_t{64}),
         kNeedsRestart, "Queues per shard of a topic that is created so.");
}

void AddBrokerSettings(Role role, Settings* s, SettingsTable* t) {
  broker::ShardOptions* const o = &s->broker.shard;
  t->Add("broker.id", &s->broker.id, Default("broker-0"), kNeedsRestart,
         "This broker's name: unique in the cluster, and the same at every start.");
  if (role == Role::kBroker) {
    t->Add("broker.listen", &s->broker_listen, Default("0.0.0.0:8083"), kNeedsRestart,
           "Address of the port for proxies (gRPC, barid.broker.v1). Port 0 takes a free one.");
    t->Add("broker.advertise", &s->broker_advertise, Default(""), kNeedsRestart,
           "host:port by which proxies reach this broker. Empty: the broker port's own address.");
  }
  t->Add(
      "storage.segment_bytes", &o->log.segment_bytes, Default(256 * kMiB), Between(16 * kMiB, 4 * kGiB), kNeedsRestart,
      "Size of one log file; space is freed a whole file at a time. Never changed for a data directory that exists.");
  t->Add("storage.zero_ahead", &o->log.zero_ahead_bytes, Default(16 * kMiB), Between(1 * kMiB, 256 * kMiB),
         kNeedsRestart, "How far zeros are written ahead of the log's tail; syncs into zeroed blocks are quicker.");
  t->Add("broker.checkpoint_bytes", &o->checkpoint_log_bytes, Default(64 * kMiB), Between(1 * kMiB, 4 * kGiB),
         kNeedsRestart, "A checkpoint is written after at most so much log: what a restart replays.");
  t->Add("broker.checkpoint_interval", &o->checkpoint_interval, Default(absl::Seconds(5)),
         Between(absl::Milliseconds(100), absl::Hours(1)), kNeedsRestart,
         "And at least so often while something changes.");
  t->Add("broker.tail_cache", &o->tail_cache_bytes, Default(32 * kMiB), Between(1 * kMiB, 64 * kGiB), kNeedsRestart,
         "Newest messages of a shard that are served from memory.");
  t->Add("broker.max_pending", &o->max_pending_bytes, Default(128 * kMiB), Between(1 * kMiB, 64 * kGiB), kNeedsRestart,
         "Bytes of a shard that wait for the disk; more sends are refused.");
  t->Add("broker.max_waiting_receives", &o->max_waiting_receives, Default(int64_t{100000}),
         Between(int64_t{100}, int64_t{10000000}), kNeedsRestart, "Receives that wait on one shard.");
  t->Add("broker.max_in_flight", &o->max_in_flight, Default(int64_t{100000}), Between(int64_t{1}, int64_t{10000000}),
         kNeedsRestart, "Messages of one queue that one group may have in flight.");
  t->Add(
      "broker.max_parked_bytes", &o->max_parked_bytes, Default(64 * kMiB), Between(64 * kKiB, 64 * kGiB), kNeedsRestart,
      "Memory for the messages of one queue that wait, for one ordered group, until their message groups are "
      "unlocked: 4 bytes for each of a message group that has many, 100 for one of a message group that has no other. "
      "At so much, nothing behind them is looked at until some are settled; that is logged.");
  t->Add("broker.max_lite_topics", &o->max_lite_topics, Default(int64_t{1000000}),
         Between(int64_t{1}, int64_t{100000000}), kNeedsRestart,
         "Lite topics of one topic in one shard, about a kilobyte of memory each; messages for more are refused.");
  t->Add("broker.lite_topic_expiry", &o->lite_topic_expiry, Default(absl::Hours(24)),
         Between(absl::ZeroDuration(), absl::Hours(24 * 3650)), kNeedsRestart,
         "A lite topic goes, with what it keeps, when nothing was sent to it for so long and all groups that read its "
         "topic have settled all "
         "that is in it. 0: never.");
  t->Add("broker.lite_subscription_ttl", &o->lite_subscription_ttl, Default(absl::Minutes(3)),
         Between(absl::Seconds(1), absl::Hours(24)), kNeedsRestart,
         "A shard forgets which lite topics a client reads when the client has not said so again for so long; clients "
         "do every 30s.");
  t->Add("broker.max_near_timers", &o->max_near_timers, Default(int64_t{65536}),
         Between(int64_t{1000}, int64_t{100000000}), kNeedsRestart,
         "Scheduled messages of a shard that are kept in memory, some 100 bytes each: up to twice so many. The others, "
         "due later, are on disk.");
  t->Add("broker.max_open_transactions", &o->max_open_transactions, Default(int64_t{100000}),
         Between(int64_t{1}, int64_t{1000000}), kNeedsRestart,
         "Open transactions of a shard, some 150 bytes of memory each; more are refused.");
  t->Add("broker.lookup_memory", &o->lookup.memory_bytes, Default(16 * kMiB), Between(64 * kKiB, 1 * kGiB),
         kNeedsRestart,
         "Memory of a shard for finding messages by id and key: hashes of its newest log segment, while there are "
         "searches, and of the "
         "one a file is made of. What does not fit is scanned.");
  t->Add("broker.lookup_build_rate", &o->lookup.build_bytes_per_second, Default(64 * kMiB), Between(1 * kMiB, 4 * kGiB),
         kNeedsRestart,
         "Bytes of the log read per second, at most, to make the files by which messages are found in segments that "
         "are full. Until "
         "a segment has its file, a search scans it.");
  t->Add("broker.remembered_transactions", &o->remembered_transactions, Default(int64_t{65536}),
         Between(int64_t{0}, int64_t{1000000}), kNeedsRestart,
         "Ended transactions of a shard whose end is remembered, some 100 bytes of memory each: ending one of them "
         "again is answered rightly.");
  t->Add("broker.idempotence_window", &o->idempotence_window, Default(absl::Minutes(10)),
         Between(absl::ZeroDuration(), absl::Hours(24)), kNeedsRestart,
         "How long a message that is sent again, with the same id and content, is answered as the first was and not "
         "stored "
         "again. 0: not at all.");
  t->Add("broker.idempotence_ids", &o->idempotence_ids, Default(int64_t{1000000}),
         Between(int64_t{0}, int64_t{16000000}), kNeedsRestart,
         "Sends of a shard that are remembered for that, the newest, some 65 bytes of memory each. 0: none.");
  t->Add("metrics.counts_interval", &o->metrics_interval, Default(absl::Seconds(10)),
         Between(absl::Seconds(1), absl::Hours(1)), kNeedsRestart,
         "How old the counts of messages may be that the metrics port shows.");
  t->Add("broker.audit_interval", &o->audit_interval, Default(absl::Minutes(10)),
         Between(absl::Seconds(1), absl::Hours(168)), kNeedsRestart,
         "How often a shard's counts of ready, in flight, blocked, delayed and dead-lettered messages are compared "
         "with a recount "
         "of its newest checkpoint. What differs is logged and counted (barid_broker_audit_mismatches_total).");
  t->Add("broker.audit_pace", &o->audit_entries_per_second, Default(int64_t{50000}),
         Between(int64_t{100}, int64_t{10000000}), kNeedsRestart,
         "Entries of the checkpoint that such a recount reads a second.");
  t->Add("broker.priority_oldest_every", &o->priority_oldest_every, Default(int64_t{10}),
         Between(int64_t{0}, int64_t{1000000}), kNeedsRestart,
         "Of so many receives of a PRIORITY topic that are given something, one begins with the oldest message instead "
         "of the "
         "highest priority. 0: none, and low priorities may wait for ever.");
  t->Add("broker.transaction_first_check", &o->transaction_first_check, Default(absl::Seconds(6)),
         Between(absl::Milliseconds(10), absl::Hours(1)), kNeedsRestart,
         "When the producer of a transaction is asked first what became of it, unless its message says.");
  t->Add("broker.transaction_check_interval", &o->transaction_check_interval, Default(absl::Seconds(30)),
         Between(absl::Milliseconds(10), absl::Hours(1)), kNeedsRestart, "And how long until it is asked again.");
  t->Add("broker.max_transaction_checks", &o->max_transaction_checks, Default(int64_t{15}),
         Between(int64_t{1}, int64_t{1000}), kNeedsRestart,
         "After so many checks without a decision a transaction is discarded: rolled back, and kept for inspection.");
  t->Add("broker.max_transaction_age", &o->max_transaction_age, Default(absl::Hours(72)),
         Between(absl::Seconds(1), absl::Hours(24 * 366)), kNeedsRestart,
         "And at this age, also if there is no producer to ask.");
  t->Add("broker.disk_reserve", &o->disk_reserve_bytes, Default(1 * kGiB), Between(64 * kMiB, 1 * kTiB), kNeedsRestart,
         "With less disk left, sends are refused while everything else goes on. At least two segments and 64 MiB are "
         "kept.");
  t->Add("broker.retention_interval", &o->retention_interval, Default(absl::Seconds(10)),
         Between(absl::Milliseconds(100), absl::Hours(1)), kNeedsRestart, "How often retention is looked after.");
  t->Add("broker.carry_live_percent", &o->carry_live_percent, Default(int64_t{72}), Between(int64_t{0}, int64_t{75}),
         kNeedsRestart,
         "When at most so much of an old part of the log is still needed, that is carried forward, to the log's end, "
         "and the part is freed. "
         "The lower, the less is copied, and the more disk a shard may take: 100 / this times what it needs. 0: "
         "nothing is carried.");
  t->Add("broker.carry_rate", &o->carry_bytes_per_second, Default(16 * kMiB), Between(64 * kKiB, 4 * kGiB),
         kNeedsRestart, "Bytes per second, at most, that a shard carries forward.");
  t->Add("broker.auto_renew_cap", &o->auto_renew_cap, Default(absl::Hours(3)),
         Between(absl::Minutes(2), absl::Hours(48)), kNeedsRestart,
         "How long a living push consumer may hold a message.");
  t->Add("broker.client_silence", &o->client_silence, Default(absl::Seconds(120)),
         Between(absl::Seconds(35), absl::Hours(1)), kNeedsRestart,
         "A client that no proxy heard from for so long loses what it holds.");
}

void AddControllerSettings(Role role, Settings* s, SettingsTable* t) {
  controller::ControllerOptions* const o = &s->controller;
  if (role == Role::kController) {
    t->Add("controller.listen", &s->controller_listen, Default("0.0.0.0:8084"), kNeedsRestart,
           "Address of the port for brokers and proxies (gRPC, barid.controller.v1). Port 0 takes a free one.");
  }
  t->Add("controller.shards_per_broker", &o->limits.shards_per_broker,
         Default(int32_t{role == Role::kStandalone ? 1 : 4}), Between(int32_t{1}, int32_t{64}), kNeedsRestart,
         "Shards that a new broker is given.");
  t->Add("controller.fifo_queues", &o->limits.fifo_queues, Default(16), Between(1, kMaxFifoQueues), kNeedsRestart,
         "Queues of a new FIFO topic, in all shards together, if nothing else is asked for. They are placed on the "
         "shards that there are, for good.");
  t->Add("controller.max_topics", &o->limits.max_topics, Default(int64_t{10000}), Between(int64_t{1}, int64_t{1000000}),
         kNeedsRestart, "Topics in the cluster.");
  t->Add("controller.max_groups", &o->limits.max_groups, Default(int64_t{10000}), Between(int64_t{1}, int64_t{1000000}),
         kNeedsRestart, "Groups in the cluster.");
}

}  // namespace

void AddSettings(Role role, Settings* s, SettingsTable* t) {
  AddProcessSettings(s, t);
  if (role == Role::kStandalone || role == Role::kProxy) AddPublicSettings(role, s, t);
  if (role == Role::kStandalone || role == Role::kBroker) AddBrokerSettings(role, s, t);
  if (role == Role::kStandalone || role == Role::kController) AddControllerSettings(role, s, t);
  if (role == Role::kBroker || role == Role::kProxy) {
    t->Add("controller.endpoints", &s->controller_endpoints, Default(std::vector<std::string>{"127.0.0.1:8084"}),
           kNeedsRestart, "Where the controller is: host:port, several with commas.");
    t->Add("controller.patience", &s->controller_patience, Default(absl::Seconds(60)),
           Between(absl::Seconds(1), absl::Hours(1)), kNeedsRestart, "How long a start waits for the controller.");
  }
}

}  // namespace barid
