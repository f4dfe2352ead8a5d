#include "proxy/clients.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/hash/hash.h"

namespace barid::proxy {
namespace {

constexpr absl::string_view kClientTypeNames[] = {"unspecified",         "producer",      "push_consumer",
                                                  "simple_consumer",     "pull_consumer", "lite_push_consumer",
                                                  "lite_simple_consumer"};
constexpr absl::string_view kLanguageNames[] = {"other", "java",   "cpp", "dotnet", "go",
                                                "rust",  "python", "php", "nodejs"};

}  // namespace

absl::string_view ClientTypeName(ClientType type) {
  const auto i = static_cast<size_t>(type);
  return i < std::size(kClientTypeNames) ? kClientTypeNames[i] : kClientTypeNames[0];
}

absl::string_view LanguageName(Language language) {
  const auto i = static_cast<size_t>(language);
  return i < std::size(kLanguageNames) ? kLanguageNames[i] : kLanguageNames[0];
}

Clients::Clients(Clock* clock, size_t max_clients, absl::Duration expiry, int max_waiting_receives)
    : clock_(clock),
      max_clients_per_stripe_((max_clients + kStripes - 1) / kStripes),
      expiry_(expiry),
      max_waiting_receives_(max_waiting_receives) {}

Clients::Stripe& Clients::StripeOf(absl::string_view id) {
  return stripes_[absl::Hash<absl::string_view>()(id) % kStripes];
}

Clients::Client* Clients::FindOrAdd(Stripe& stripe, absl::string_view id) {
  auto it = stripe.clients.find(id);
  if (it == stripe.clients.end()) {
    if (stripe.clients.size() >= max_clients_per_stripe_) return nullptr;
    it = stripe.clients.emplace(std::string(id), Client()).first;
    it->second.profile.id = std::string(id);
  }
  it->second.last_heard = clock_->SinceBoot();
  it->second.heard_since_report = true;
  return &it->second;
}

void Clients::Heard(absl::string_view id) {
  Stripe& stripe = StripeOf(id);
  MutexLock lock(&stripe.mu);
  FindOrAdd(stripe, id);
}

void Clients::Declare(const ClientProfile& profile) {
  Stripe& stripe = StripeOf(profile.id);
  MutexLock lock(&stripe.mu);
  Client* const client = FindOrAdd(stripe, profile.id);
  if (client == nullptr) return;
  if (profile.type != ClientType::kUnspecified) client->profile.type = profile.type;
  if (profile.language != Language::kUnspecified) client->profile.language = profile.language;
  if (!profile.version.empty()) client->profile.version = profile.version;
  if (!profile.hostname.empty()) client->profile.hostname = profile.hostname;
  if (!profile.peer.empty()) client->profile.peer = profile.peer;
  if (profile.group) client->profile.group = profile.group;
}

void Clients::Produces(absl::string_view id, const std::vector<ResourceName>& topics) {
  Stripe& stripe = StripeOf(id);
  MutexLock lock(&stripe.mu);
  Client* const client = FindOrAdd(stripe, id);
  if (client == nullptr) return;
  for (const ResourceName& topic : topics) {
    if (client->topics.size() >= kMaxTopics) return;
    if (std::find(client->topics.begin(), client->topics.end(), topic) == client->topics.end())
      client->topics.push_back(topic);
  }
}

Clients::Producers Clients::LiveProducers() {
  absl::flat_hash_map<ResourceName, std::vector<std::pair<std::string, std::shared_ptr<ClientSession>>>> found;
  for (Stripe& stripe : stripes_) {
    MutexLock lock(&stripe.mu);
    for (const auto& [id, client] : stripe.clients) {
      if (client.session == nullptr) continue;
      for (const ResourceName& topic : client.topics) found[topic].emplace_back(id, client.session);
    }
  }
  Producers producers;
  for (auto& [topic, sessions] : found) {
    std::sort(sessions.begin(), sessions.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    for (auto& [id, session] : sessions) producers[topic].push_back(std::move(session));
  }
  return producers;
}

std::optional<ClientProfile> Clients::Find(absl::string_view id) {
  Stripe& stripe = StripeOf(id);
  MutexLock lock(&stripe.mu);
  const auto it = stripe.clients.find(id);
  if (it == stripe.clients.end()) return std::nullopt;
  return it->second.profile;
}

ClientType Clients::TypeOf(absl::string_view id) {
  Stripe& stripe = StripeOf(id);
  MutexLock lock(&stripe.mu);
  const auto it = stripe.clients.find(id);
  return it == stripe.clients.end() ? ClientType::kUnspecified : it->second.profile.type;
}

void Clients::OpenSession(absl::string_view id, std::shared_ptr<ClientSession> session) {
  std::shared_ptr<ClientSession> replaced;  // Destroyed without the lock.
  Stripe& stripe = StripeOf(id);
  MutexLock lock(&stripe.mu);
  Client* const client = FindOrAdd(stripe, id);
  if (client != nullptr) replaced = std::exchange(client->session, std::move(session));
}

void Clients::CloseSession(absl::string_view id, const ClientSession* session) {
  std::shared_ptr<ClientSession> closed;
  Stripe& stripe = StripeOf(id);
  MutexLock lock(&stripe.mu);
  const auto it = stripe.clients.find(id);
  if (it == stripe.clients.end() || it->second.session.get() != session) return;
  closed = std::move(it->second.session);
  it->second.last_heard = clock_->SinceBoot();
}

void Clients::Gone(absl::string_view id) {
  std::shared_ptr<ClientSession> closed;
  absl::flat_hash_set<std::shared_ptr<PendingCall>> receives;
  Stripe& stripe = StripeOf(id);
  {
    MutexLock lock(&stripe.mu);
    const auto it = stripe.clients.find(id);
    if (it != stripe.clients.end()) {
      closed = std::move(it->second.session);
      receives = std::move(it->second.receives);
      stripe.clients.erase(it);
    }
    // Bounded too: goodbyes cost nothing to send.
    if (stripe.gone.size() < max_clients_per_stripe_) stripe.gone.emplace(id);
  }
  for (const std::shared_ptr<PendingCall>& receive : receives) receive->Cancel();
}

void Clients::NoteLite(const LiteSubscription& subscription) {
  using Action = LiteSyncCall::Action;
  Stripe& stripe = StripeOf(subscription.client_id);
  MutexLock lock(&stripe.mu);
  Client* const client = FindOrAdd(stripe, subscription.client_id);
  if (client == nullptr) return;
  std::vector<LiteSubscription>& reads = client->reads;
  auto it = std::find_if(reads.begin(), reads.end(), [&](const LiteSubscription& one) {
    return one.group == subscription.group && one.topic == subscription.topic;
  });
  if (it == reads.end()) {
    LiteSubscription fresh;
    fresh.group = subscription.group;
    fresh.topic = subscription.topic;
    fresh.client_id = subscription.client_id;
    fresh.action = Action::kSet;
    it = reads.insert(reads.end(), std::move(fresh));
  }
  it->version = std::max(it->version, subscription.version);
  std::vector<std::string> names;  // Both are sorted.
  switch (subscription.action) {
    case Action::kAdd:
      std::set_union(it->lite_topics.begin(), it->lite_topics.end(), subscription.lite_topics.begin(),
                     subscription.lite_topics.end(), std::back_inserter(names));
      break;
    case Action::kRemove:
      std::set_difference(it->lite_topics.begin(), it->lite_topics.end(), subscription.lite_topics.begin(),
                          subscription.lite_topics.end(), std::back_inserter(names));
      break;
    case Action::kSet:
      names = subscription.lite_topics;
      break;
    case Action::kRemoveAll:
      break;
  }
  it->lite_topics = std::move(names);
  if (it->lite_topics.empty()) reads.erase(it);
}

std::vector<LiteSubscription> Clients::LiteReaders() {
  std::vector<LiteSubscription> all;
  for (Stripe& stripe : stripes_) {
    MutexLock lock(&stripe.mu);
    for (const auto& [id, client] : stripe.clients) all.insert(all.end(), client.reads.begin(), client.reads.end());
  }
  return all;
}

bool Clients::BeginReceive(absl::string_view id, std::shared_ptr<PendingCall> receive) {
  Stripe& stripe = StripeOf(id);
  MutexLock lock(&stripe.mu);
  Client* const client = FindOrAdd(stripe, id);
  if (client == nullptr) return true;
  if (client->receives.size() >= static_cast<size_t>(max_waiting_receives_)) return false;
  client->receives.insert(std::move(receive));
  return true;
}

void Clients::EndReceive(absl::string_view id, const PendingCall* receive) {
  Stripe& stripe = StripeOf(id);
  MutexLock lock(&stripe.mu);
  const auto it = stripe.clients.find(id);
  // It may have gone, and come back with others.
  if (it == stripe.clients.end() || it->second.receives.erase(receive) == 0) return;
  it->second.last_heard = clock_->SinceBoot();
}

ClientReport Clients::TakeReport(absl::string_view proxy_name, absl::flat_hash_set<ResourceName>* groups) {
  ClientReport report;
  report.proxy = std::string(proxy_name);
  const absl::Duration now = clock_->SinceBoot();
  for (Stripe& stripe : stripes_) {
    MutexLock lock(&stripe.mu);
    for (auto it = stripe.clients.begin(); it != stripe.clients.end();) {
      Client& client = it->second;
      const bool connected = client.session != nullptr || !client.receives.empty();
      if (!connected && now - client.last_heard > expiry_) {
        stripe.clients.erase(it++);
        continue;
      }
      if (connected || client.heard_since_report) {
        report.alive.push_back(it->first);
        if (groups != nullptr && client.profile.group) groups->insert(*client.profile.group);
      }
      client.heard_since_report = false;
      ++it;
    }
    report.gone.insert(report.gone.end(), stripe.gone.begin(), stripe.gone.end());
    stripe.gone.clear();
  }
  return report;
}

std::vector<std::shared_ptr<ClientSession>> Clients::Sessions() {
  std::vector<std::shared_ptr<ClientSession>> sessions;
  for (Stripe& stripe : stripes_) {
    MutexLock lock(&stripe.mu);
    for (const auto& [id, client] : stripe.clients) {
      if (client.session != nullptr) sessions.push_back(client.session);
    }
  }
  return sessions;
}

std::shared_ptr<ClientSession> Clients::SessionOf(absl::string_view id) {
  Stripe& stripe = StripeOf(id);
  MutexLock lock(&stripe.mu);
  const auto it = stripe.clients.find(id);
  return it == stripe.clients.end() ? nullptr : it->second.session;
}

std::vector<ClientProfile> Clients::All() {
  std::vector<ClientProfile> profiles;
  for (Stripe& stripe : stripes_) {
    MutexLock lock(&stripe.mu);
    for (const auto& [id, client] : stripe.clients) profiles.push_back(client.profile);
  }
  return profiles;
}

}  // namespace barid::proxy
