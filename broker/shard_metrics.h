#ifndef BARID_BROKER_SHARD_METRICS_H_
#define BARID_BROKER_SHARD_METRICS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "base/broker_calls.h"
#include "base/ids.h"
#include "base/metadata.h"
#include "base/metrics.h"
#include "broker/command.h"
#include "broker/counts.h"

namespace barid::broker {

struct Outcome;

// The metrics of a broker's shards (docs/metrics.md): the one place that names them. What is counted since the process
// started begins at 0 with it; what is left of messages is true for whoever leads.
struct BrokerMetrics {
  explicit BrokerMetrics(Metrics* metrics);

  // By shard.
  Family<Counter>* const log_records;
  Family<Counter>* const log_bytes;
  Family<Histogram>* const log_batch_records;
  Family<Histogram>* const log_write_seconds;
  Family<Gauge>* const log_size_bytes;
  Family<Histogram>* const lateness_seconds;
  Family<Gauge>* const proposals;
  Family<Gauge>* const waiting_receives;
  Family<Gauge>* const timers_pending;
  Family<Counter>* const timers_fired;
  Family<Counter>* const timers_cancelled;
  Family<Gauge>* const transactions_open;
  Family<Counter>* const transaction_checks;
  Family<Counter>* const transactions_discarded;
  Family<Counter>* const repeated_sends;
  Family<Counter>* const reused_ids;
  Family<Counter>* const carried;
  Family<Counter>* const carried_bytes;
  Family<Counter>* const filter_problems;
  Family<Counter>* const audits;
  Family<Counter>* const audited_counts;
  Family<Counter>* const audit_mismatches;
  Family<Gauge>* const disk_available_bytes;
  Family<Gauge>* const disk_reserve_bytes;
  // By shard and action.
  Family<Counter>* const settlements;
  // By topic.
  Family<Counter>* const messages_in;
  Family<Counter>* const bytes_in;
  Family<Counter>* const committed;
  Family<Counter>* const rolled_back;
  Family<Gauge>* const delayed;
  // By topic and group.
  Family<Counter>* const messages_out;
  Family<Counter>* const bytes_out;
  Family<Counter>* const redeliveries;
  Family<Counter>* const sent_to_dead_letters;
  Family<Gauge>* const lag;
  Family<Gauge>* const ready;
  Family<Gauge>* const in_flight;
  Family<Gauge>* const blocked;
  Family<Gauge>* const dead_letters;
  Family<Gauge>* const oldest_seconds;
  Family<Gauge>* const paused;
};

// Those of one shard: looked up once, then counted up. Belongs to the shard's executor, but for what Histogram and
// Counter allow.
class ShardMetrics {
 public:
  ShardMetrics(BrokerMetrics* families, ShardId shard);

  void SetMetadata(std::shared_ptr<const Metadata> metadata);

  // A record was applied by the leader.
  void OnApplied(const Command& command, const Outcome& outcome);
  void OnReceived(TopicId topic, GroupId group, const ReceiveResult& result);
  // What the shard counts now, of at most kMaxCounted groups and topics; what was shown before and is not there any
  // more is 0.
  void Show(const std::vector<GroupCount>& counts, absl::Time now);

  Counter* const log_records;
  Counter* const log_bytes;
  Histogram* const log_batch_records;
  Histogram* const log_write_seconds;
  Gauge* const log_size_bytes;
  Histogram* const lateness_seconds;
  Gauge* const proposals;
  Gauge* const waiting_receives;
  Gauge* const timers_pending;
  Gauge* const transactions_open;
  Counter* const filter_problems;
  Counter* const audits;
  Counter* const audited_counts;
  Counter* const audit_mismatches;
  Gauge* const disk_available_bytes;
  Gauge* const disk_reserve_bytes;

 private:
  struct OfTopic {
    Counter* messages_in;
    Counter* bytes_in;
    Counter* committed;
    Counter* rolled_back;
  };
  struct OfGroup {
    Counter* messages_out;
    Counter* bytes_out;
    Counter* redeliveries;
    Counter* sent_to_dead_letters;
  };
  // What one shard has added to gauges that the shards of a process share.
  struct Shown {
    Gauge* gauge;
    double value = 0;
    void Set(double now) {
      gauge->Add(now - value);
      value = now;
    }
  };
  struct ShownCounts {
    Shown lag, ready, in_flight, blocked, dead_letters;
    Gauge* oldest_seconds;
    Gauge* paused;
    bool is_there = false;
  };
  struct ShownDelayed {
    Shown delayed;
    bool is_there = false;
  };

  std::string NameOf(TopicId topic) const;
  std::string NameOf(GroupId group) const;
  const OfTopic& Topic(TopicId topic);
  const OfGroup& Group(TopicId topic, GroupId group);
  void In(TopicId topic, int64_t messages, int64_t bytes);

  BrokerMetrics* const families_;
  const std::string shard_;
  Counter* const timers_fired_;
  Counter* const timers_cancelled_;
  Counter* const carried_;
  Counter* const carried_bytes_;
  Counter* const transaction_checks_;
  Counter* const transactions_discarded_;
  Counter* const repeated_sends_;
  Counter* const reused_ids_;
  Counter* const acknowledged_;
  Counter* const shown_later_;
  Counter* const undelivered_;
  Counter* const lapsed_;
  std::shared_ptr<const Metadata> metadata_;
  absl::flat_hash_map<TopicId, OfTopic> topics_;
  absl::flat_hash_map<GroupTopic, OfGroup> groups_;
  absl::flat_hash_map<GroupTopic, ShownCounts> shown_;
  absl::flat_hash_map<TopicId, ShownDelayed> delayed_;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_SHARD_METRICS_H_
