#ifndef BARID_TESTS_SIMULATION_LITE_WORLD_H_
#define BARID_TESTS_SIMULATION_LITE_WORLD_H_

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/random.h"
#include "broker/shard.h"

namespace barid::broker {

// A topic of type LITE in a simulated shard, a group of clients that read some of its lite topics, now these and now
// those, and what is to be proved of it:
//
//   - Every acknowledged message is delivered to a client that reads its lite topic, until it is settled, whatever else
//     becomes of the lite topic meanwhile.
//   - No client is given a message of a lite topic that it has not read since it began the receive.
//   - An acknowledged settlement never comes back.
//   - If the group is an ordered one: a message of a lite topic is not delivered while an earlier one is not settled,
//     but for those in front of it in its answer.
//
// Clients forget what they read when the process dies, and say it again, as real ones do.
class LiteWorld {
 public:
  static constexpr TopicId kTopic{900'001};
  static constexpr GroupId kGroup{900'002};

  // How calls reach the shard: posted, or at once. `violate` is told what is wrong.
  struct Port {
    std::function<void(absl::AnyInvocable<void(Shard*)>)> post;
    std::function<void(absl::AnyInvocable<void(Shard*)>)> now;
    std::function<void(std::string)> violate;
    std::function<uint64_t()> next_receive;
  };
  LiteWorld(Random* random, Port port) : random_(*random), port_(std::move(port)) {}

  void AddTo(Metadata::Tables* tables, bool ordered);

  // One of them does something.
  void Step();
  // The process is gone, and the answers with it.
  void OnCrash();
  // All clients read everything and acknowledge what comes; true if anything did.
  void BeginDrain();
  void Drain();
  int64_t came() const { return came_; }
  // Nothing comes any more.
  void CheckNothingIsOwed();

  int64_t settled() const { return settled_; }

 private:
  struct Message {
    std::string lite_topic;
    enum class Sent { kPending, kUnknown, kStored } sent = Sent::kPending;
    bool settled = false;
    bool maybe_settled = false;
  };
  struct Client {
    std::string id;
    std::set<std::string> reads;
  };
  struct Receiving {
    size_t client = 0;
    std::set<std::string> allowed;  // All that the client has read since.
  };

  std::string AnyName() { return absl::StrCat("s", random_.Below(6)); }
  void Send();
  void Sync(size_t client, LiteSyncCall::Action action, const std::set<std::string>& names);
  void Receive(size_t client, absl::Duration wait);
  void OnReceived(uint64_t number, const ReceiveResult& result);
  void Ack(size_t message, const Delivery& delivery);
  // Whether this one may be delivered behind `before`, which are those in front of it in its answer.
  bool KeepsOrder(const Delivery& delivery, const std::set<QueueOffset>& before) const;

  Random& random_;
  const Port port_;
  std::vector<Message> messages_;
  std::vector<Client> clients_ = {{"l0", {}}, {"l1", {}}, {"l2", {}}};
  std::map<uint64_t, Receiving> receiving_;
  std::set<size_t> settling_;
  bool ordered_ = false;
  std::map<QueueKey, std::map<QueueOffset, size_t>> places_;  // Of messages that were delivered once.
  uint64_t next_receiving_ = 0;
  uint64_t generation_ = 0;
  bool draining_ = false;
  int64_t came_ = 0;
  int64_t settled_ = 0;
};

}  // namespace barid::broker

#endif  // BARID_TESTS_SIMULATION_LITE_WORLD_H_
