#include "broker/lite_subscriptions.h"

#include <algorithm>
#include <iterator>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "broker/mutation.h"

namespace barid::broker {

void LiteSubscriptions::Add(Client* client, const std::string& name) {
  if (!client->names.insert(name).second) return;
  ++subscriptions_;
  readers_[{client->line.topic, name}].insert(client);
  // It may have had something for a long time.
  if (const std::optional<QueueKey> queue = table_.Find(client->line.topic, name)) client->ready.insert(queue->queue);
}

void LiteSubscriptions::Remove(Client* client, const std::string& name) {
  if (client->names.erase(name) == 0) return;
  --subscriptions_;
  const auto readers = readers_.find({client->line.topic, name});
  readers->second.erase(client);
  if (readers->second.empty()) readers_.erase(readers);
  const std::optional<QueueKey> queue = table_.Find(client->line.topic, name);
  if (queue && !BARID_MUTATION(kLiteUnsubscribeForgotten)) client->ready.erase(queue->queue);
}

void LiteSubscriptions::RemoveAll(Client* client) {
  for (const std::string& name : std::vector<std::string>(client->names.begin(), client->names.end()))
    Remove(client, name);
}

LiteSubscriptions::Clients::iterator LiteSubscriptions::Erase(Clients::iterator it) {
  RemoveAll(it->second.get());
  lines_of_.erase({it->first.client, it->first.topic, it->first.group});
  return clients_.erase(it);
}

// Whoever says goodbye may be anyone, and mostly reads no lite topics: it is not looked for among all that do.
void LiteSubscriptions::Forget(const std::string& client) {
  for (auto it = lines_of_.lower_bound({client, TopicId(), GroupId()});
       it != lines_of_.end() && std::get<0>(*it) == client;
       it = lines_of_.lower_bound({client, TopicId(), GroupId()})) {
    Erase(clients_.find({std::get<1>(*it), std::get<2>(*it), client}));
  }
}

const LiteSubscriptions::Client* LiteSubscriptions::Find(const ReceiveLine& line) const {
  const auto found = clients_.find(line);
  return found == clients_.end() ? nullptr : found->second.get();
}

absl::Status LiteSubscriptions::Check(const LiteSyncCall& call, int64_t quota) const {
  using Action = LiteSyncCall::Action;
  if (call.action != Action::kAdd && call.action != Action::kSet) return absl::OkStatus();
  absl::flat_hash_set<absl::string_view> all(call.lite_topics.begin(), call.lite_topics.end());
  const Client* const client = Find({call.topic, call.group, call.client_id});
  if (call.action == Action::kAdd && client != nullptr) all.insert(client->names.begin(), client->names.end());
  if (static_cast<int64_t>(all.size()) <= quota) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("the client would read ", all.size(), " lite topics, at most ",
                                                   quota, " are allowed (setting proxy.max_lite_subscriptions)"));
}

std::vector<QueueKey> LiteSubscriptions::BegunBy(const LiteSyncCall& call) const {
  using Action = LiteSyncCall::Action;
  std::vector<QueueKey> begun;
  if (call.action != Action::kAdd && call.action != Action::kSet) return begun;
  const Client* const client = Find({call.topic, call.group, call.client_id});
  if (client != nullptr && call.version != 0 && call.version < client->version) return begun;
  for (const std::string& name : call.lite_topics) {
    if (client != nullptr && client->names.contains(name)) continue;
    if (const std::optional<QueueKey> queue = table_.Find(call.topic, name)) begun.push_back(*queue);
  }
  return begun;
}

absl::Status LiteSubscriptions::Sync(const LiteSyncCall& call, int64_t quota, int64_t expires_us) {
  const ReceiveLine line{call.topic, call.group, call.client_id};
  const auto found = clients_.find(line);
  Client* client = found == clients_.end() ? nullptr : found->second.get();
  // An older call that came late.
  if (client != nullptr && call.version != 0 && call.version < client->version) return absl::OkStatus();

  using Action = LiteSyncCall::Action;
  if (call.action == Action::kRemoveAll) {
    if (client != nullptr) Erase(found);
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(Check(call, quota));
  if (client == nullptr) {
    if (call.action == Action::kRemove) return absl::OkStatus();
    client = clients_.emplace(line, std::make_unique<Client>()).first->second.get();
    client->line = line;
    lines_of_.emplace(line.client, line.topic, line.group);
  }
  client->version = std::max(client->version, call.version);
  client->expires_us = expires_us;
  if (call.action == Action::kSet) {
    const absl::flat_hash_set<absl::string_view> wanted(call.lite_topics.begin(), call.lite_topics.end());
    std::vector<std::string> gone;
    for (const std::string& name : client->names) {
      if (!wanted.contains(name)) gone.push_back(name);
    }
    for (const std::string& name : gone) Remove(client, name);
  }
  for (const std::string& name : call.lite_topics) {
    if (call.action == Action::kRemove) {
      Remove(client, name);
    } else {
      Add(client, name);
    }
  }
  return absl::OkStatus();
}

void LiteSubscriptions::Expire(int64_t now_us) {
  for (auto it = clients_.begin(); it != clients_.end();) {
    it = it->second->expires_us > now_us ? std::next(it) : Erase(it);
  }
}

void LiteSubscriptions::Ready(const QueueKey& queue, std::optional<GroupId> group,
                              absl::FunctionRef<void(const ReceiveLine&)> wake) {
  const LiteTable::LiteTopic* const lite = table_.Get(queue);
  if (lite == nullptr) return;
  if (BARID_MUTATION(kLiteServesAll)) {
    for (auto& [line, client] : clients_) {
      if (line.topic != queue.topic || client->names.empty()) continue;
      client->ready.insert(queue.queue);
      wake(line);
    }
    return;
  }
  const auto readers = readers_.find({queue.topic, lite->name});
  if (readers == readers_.end()) return;
  for (Client* const client : readers->second) {
    if (group && client->line.group != *group) continue;
    client->ready.insert(queue.queue);
    wake(client->line);
  }
}

void LiteSubscriptions::ReadyAll(TopicId topic, GroupId group, absl::FunctionRef<void(const ReceiveLine&)> wake) {
  for (auto it = clients_.lower_bound({topic, group, ""});
       it != clients_.end() && it->first.topic == topic && it->first.group == group; ++it) {
    for (const std::string& name : it->second->names) {
      if (const std::optional<QueueKey> queue = table_.Find(topic, name)) it->second->ready.insert(queue->queue);
    }
    if (!it->second->ready.empty()) wake(it->first);
  }
}

std::optional<QueueKey> LiteSubscriptions::Next(const ReceiveLine& line) {
  const auto found = clients_.find(line);
  if (found == clients_.end() || found->second->ready.empty()) return std::nullopt;
  Client* const client = found->second.get();
  const auto next = client->ready.upper_bound(client->turn);
  client->turn = next == client->ready.end() ? *client->ready.begin() : *next;
  return QueueKey{line.topic, client->turn};
}

size_t LiteSubscriptions::ReadyFor(const ReceiveLine& line) const {
  const auto client = clients_.find(line);
  return client == clients_.end() ? 0 : client->second->ready.size();
}

void LiteSubscriptions::Done(const ReceiveLine& line, const QueueKey& queue) {
  if (const auto client = clients_.find(line); client != clients_.end()) client->second->ready.erase(queue.queue);
}

bool LiteSubscriptions::Reads(const ReceiveLine& line, const QueueKey& queue) const {
  const LiteTable::LiteTopic* const lite = table_.Get(queue);
  const Client* const client = Find(line);
  return lite != nullptr && client != nullptr && client->names.contains(lite->name);
}

std::vector<QueueKey> LiteSubscriptions::QueuesOf(const ReceiveLine& line) const {
  std::vector<QueueKey> queues;
  const auto client = clients_.find(line);
  if (client == clients_.end()) return queues;
  for (const std::string& name : client->second->names) {
    if (const std::optional<QueueKey> queue = table_.Find(line.topic, name)) queues.push_back(*queue);
  }
  // Names are in no order that would be the same again.
  std::sort(queues.begin(), queues.end());
  return queues;
}

}  // namespace barid::broker
