#ifndef BARID_PROXY_CLIENTS_H_
#define BARID_PROXY_CLIENTS_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/broker_calls.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/metadata.h"
#include "base/mutex.h"
#include "proxy/lite_subscriber.h"
#include "proxy/pending_call.h"

namespace barid::proxy {

// Numbers of apache.rocketmq.v2.ClientType and Language.
enum class ClientType : int {
  kUnspecified = 0,
  kProducer = 1,
  kPushConsumer = 2,
  kSimpleConsumer = 3,
  kPullConsumer = 4,
  kLitePushConsumer = 5,
  kLiteSimpleConsumer = 6,
};
enum class Language : int {
  kUnspecified = 0,
  kJava = 1,
  kCpp = 2,
  kDotNet = 3,
  kGo = 4,
  kRust = 5,
  kPython = 6,
  kPhp = 7,
  kNodeJs = 8,
};
absl::string_view ClientTypeName(ClientType type);  // "push_consumer", ...
absl::string_view LanguageName(Language language);  // "java", ...

// What a client said of itself, in Settings and Heartbeats.
struct ClientProfile {
  std::string id;
  ClientType type = ClientType::kUnspecified;
  Language language = Language::kUnspecified;
  std::string version;
  std::optional<ResourceName> group;
  std::string hostname = {};  // As it says itself.
  std::string peer = {};      // Where its telemetry stream comes from (CallHead::peer).
};

// A transaction whose producer is asked what became of it.
struct OrphanedTransaction {
  std::string id;  // As the client names it (proxy/transaction_id.h).
  ResourceName topic;
  int32_t queue = 0;
  Buffer stored;
  absl::Time prepared;
};

// That a client reads a topic as a member of a group, as it says in its settings.
struct ClientRead {
  ResourceName group;
  ResourceName topic;
  bool is_sql = false;
  std::string expression;
};

// A telemetry stream as the registry sees it. Methods must not block.
class ClientSession {
 public:
  virtual ~ClientSession() = default;

  // Sends the client its settings again if `metadata` changes them.
  virtual void Refresh(const Metadata& metadata) = 0;

  // Asks the client; it answers by EndTransaction, or not.
  virtual void Recover(const OrphanedTransaction& transaction) = 0;

  // What it reads, as its newest settings say.
  virtual std::vector<ClientRead> Reads() = 0;

  // All that its newest settings say of itself, as text, by name.
  virtual std::vector<std::pair<std::string, std::string>> Properties() = 0;

  // Asks what its threads are doing, or to run its listener on a message (apache.rocketmq.v2.Message). It answers with
  // the nonce, or not.
  virtual void PrintThreads(absl::string_view nonce) = 0;
  virtual void Verify(absl::string_view nonce, const Bytes& message) = 0;
};

// The clients this proxy heard of lately. Soft state: nothing but renewal and pushes depends on it, every call is
// served without. The same id may come from several connections; the newest telemetry stream gets the pushes. Any
// thread.
class Clients {
 public:
  // `clock` outlives it.
  Clients(Clock* clock, size_t max_clients, absl::Duration expiry, int max_waiting_receives);

  // A call of this client arrived.
  void Heard(absl::string_view id);
  // The same, with what it says of itself; unset fields leave what is known.
  void Declare(const ClientProfile& profile);
  // It produces to these topics: what it says in its settings, or what it sent to. They are remembered as long as the
  // client is, the first kMaxTopics of them.
  static constexpr size_t kMaxTopics = 256;
  void Produces(absl::string_view id, const std::vector<ResourceName>& topics);
  // The open sessions of producers by topic, in the order of their ids. Linear in clients.
  using Producers = absl::flat_hash_map<ResourceName, std::vector<std::shared_ptr<ClientSession>>>;
  Producers LiveProducers();
  std::optional<ClientProfile> Find(absl::string_view id);
  // kUnspecified for a client that is not known. Copies nothing.
  ClientType TypeOf(absl::string_view id);

  void OpenSession(absl::string_view id, std::shared_ptr<ClientSession> session);
  // `session` is over. The client stays.
  void CloseSession(absl::string_view id, const ClientSession* session);

  // The shards have taken this from the client, so that it can be told to a new leader.
  void NoteLite(const LiteSubscription& subscription);
  // All that clients read of lite topics: a kSet for each client, group and topic. Linear in clients.
  std::vector<LiteSubscription> LiteReaders();

  // The client said goodbye. Its receives that wait are cancelled.
  void Gone(absl::string_view id);

  // A receive of this client is about to wait; false if too many do. Each true needs one EndReceive.
  bool BeginReceive(absl::string_view id, std::shared_ptr<PendingCall> receive);
  void EndReceive(absl::string_view id, const PendingCall* receive);

  // Who was heard of since the last report (a client with an open stream or receive always is) and who has gone.
  // Forgets the expired. `groups` gets the groups that those who are alive have named.
  ClientReport TakeReport(absl::string_view proxy_name, absl::flat_hash_set<ResourceName>* groups = nullptr);

  std::vector<std::shared_ptr<ClientSession>> Sessions();
  // nullptr if there is no such client, or it has no stream open.
  std::shared_ptr<ClientSession> SessionOf(absl::string_view id);
  std::vector<ClientProfile> All();

 private:
  struct Client {
    ClientProfile profile;
    absl::Duration last_heard;
    bool heard_since_report = true;
    absl::flat_hash_set<std::shared_ptr<PendingCall>> receives;  // That wait.
    std::shared_ptr<ClientSession> session;
    std::vector<ResourceName> topics;     // Few.
    std::vector<LiteSubscription> reads;  // One for each group and LITE topic; few.
  };
  // Clients are spread over stripes, so that calls on many threads seldom meet.
  struct Stripe {
    Mutex mu;
    absl::flat_hash_map<std::string, Client> clients ABSL_GUARDED_BY(mu);
    absl::flat_hash_set<std::string> gone ABSL_GUARDED_BY(mu);
  };
  static constexpr size_t kStripes = 16;

  Stripe& StripeOf(absl::string_view id);
  // nullptr if there is no room for one more.
  Client* FindOrAdd(Stripe& stripe, absl::string_view id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(stripe.mu);

  Clock* const clock_;
  const size_t max_clients_per_stripe_;
  const absl::Duration expiry_;
  const int max_waiting_receives_;
  std::array<Stripe, kStripes> stripes_;
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_CLIENTS_H_
