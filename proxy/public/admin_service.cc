#include "proxy/public/admin_service.h"

#include <algorithm>
#include <map>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/status.h"
#include "proxy/cluster_stats.h"
#include "proxy/group_reset.h"
#include "proxy/public/admin_conversions.h"
#include "proxy/public/admin_messages.h"
#include "proxy/public/admin_method.h"
#include "proxy/public/conversions.h"

namespace barid::proxy {
namespace {

void AnswerOr(CallPtr call, const absl::Status& status, const google::protobuf::MessageLite& response) {
  if (status.ok()) {
    call->Answer(Serialize(response));
  } else {
    call->Fail(status);
  }
}

absl::Status NoTopic(const ResourceName& name) {
  return absl::NotFoundError(absl::StrCat("there is no topic ", name.ToString()));
}
absl::Status NoGroup(const ResourceName& name) {
  return absl::NotFoundError(absl::StrCat("there is no group ", name.ToString()));
}

// Answers a change of the topic or group `name` with how it is now.
ControllerApi::Changed AnswerTopic(CallPtr call, ResourceName name) {
  return [call = std::move(call), name = std::move(name)](absl::StatusOr<Snapshot> changed) mutable {
    if (!changed.ok()) return call->Fail(changed.status());
    const TopicMetadata* const topic = (*changed)->FindTopic(name);
    if (topic == nullptr) return call->Fail(NoTopic(name));
    admin::Topic response;
    ToProto(*topic, &response);
    call->Answer(Serialize(response));
  };
}
ControllerApi::Changed AnswerGroup(CallPtr call, ResourceName name) {
  return [call = std::move(call), name = std::move(name)](absl::StatusOr<Snapshot> changed) mutable {
    if (!changed.ok()) return call->Fail(changed.status());
    const GroupMetadata* const group = (*changed)->FindGroup(name);
    if (group == nullptr) return call->Fail(NoGroup(name));
    admin::Group response;
    ToProto(*group, &response);
    call->Answer(Serialize(response));
  };
}

// Asks the leader of every shard. One that fails is named, the others' transactions are listed all the same.
void ListTransactions(Proxy* proxy, CallPtr call, const admin::ListTransactionsRequest& request) {
  const ResourceName name = FromProto(request.topic());
  const Snapshot metadata = proxy->router().Snapshot();
  const TopicMetadata* const topic = metadata->FindTopic(name);
  if (topic == nullptr) return call->Fail(NoTopic(name));
  if (topic->type != MessageType::kTransaction) {
    return call->Fail(
        absl::InvalidArgumentError(absl::StrCat("the topic ", name.ToString(), " is of type ",
                                                MessageTypeName(topic->type), ", expected one of type transaction")));
  }
  constexpr int32_t kDefaultLimit = 100;
  constexpr int32_t kMostLimit = 1000;
  if (request.limit() < 0 || request.limit() > kMostLimit) {
    return call->Fail(
        absl::InvalidArgumentError(absl::StrCat("limit is ", request.limit(), ", expected 0 to ", kMostLimit)));
  }
  struct Gathering {
    Mutex mu;
    std::map<ShardId, TransactionsResult> results ABSL_GUARDED_BY(mu);
    size_t left ABSL_GUARDED_BY(mu) = 1;  // One for the loop below.
    CallPtr call;
  };
  auto gathering = std::make_shared<Gathering>();
  gathering->call = std::move(call);
  const auto gather = [gathering, metadata](ShardId shard, TransactionsResult result) {
    std::map<ShardId, TransactionsResult> results;
    {
      MutexLock lock(&gathering->mu);
      if (shard != ShardId()) gathering->results[shard] = std::move(result);
      if (--gathering->left > 0) return;
      results = std::move(gathering->results);
    }
    admin::ListTransactionsResponse response;
    for (const auto& [shard, found] : results) {
      const ShardMetadata* const place = metadata->FindShard(shard);
      if (!found.status.ok()) response.add_silent_brokers(place->leader);
      for (const TransactionInfo& one : found.transactions) ToProto(one, place->name, response.add_transactions());
    }
    gathering->call->Answer(Serialize(response));
  };
  TransactionsCall list;
  list.topic = topic->id;
  list.discarded = request.discarded();
  list.limit = request.limit() == 0 ? kDefaultLimit : request.limit();
  for (const ShardMetadata* const shard : Router::Shards(*metadata)) {
    {
      MutexLock lock(&gathering->mu);
      ++gathering->left;
    }
    const absl::StatusOr<Target> target = proxy->router().ById(*metadata, shard->id);
    if (!target.ok()) {
      gather(shard->id, {target.status(), {}});
      continue;
    }
    list.shard = shard->id;
    target->broker->ListTransactions(
        list, [gather, id = shard->id](TransactionsResult result) { gather(id, std::move(result)); });
  }
  gather(ShardId(), {});
}

// What the request asks of each shard that it names.
absl::StatusOr<std::map<ShardId, ResetOffsetCall>> ResetsOf(const Metadata& metadata,
                                                            const admin::ResetOffsetRequest& request) {
  const ResourceName topic_name = FromProto(request.topic());
  const ResourceName group_name = FromProto(request.group());
  const TopicMetadata* const topic = metadata.FindTopic(topic_name);
  if (topic == nullptr) return NoTopic(topic_name);
  const GroupMetadata* const group = metadata.FindGroup(group_name);
  if (group == nullptr) return NoGroup(group_name);
  ASSIGN_OR_RETURN(ResetOffsetCall reset, ResetOf(metadata, *group, *topic));
  reset.dry_run = request.dry_run();
  switch (request.target_case()) {
    case admin::ResetOffsetRequest::kOffset:
      if (request.offset() < 0) {
        return absl::InvalidArgumentError(absl::StrCat("the offset is ", request.offset(), ", expected at least 0"));
      }
      reset.target = ResetOffsetCall::Target::kOffset;
      reset.offset = request.offset();
      break;
    case admin::ResetOffsetRequest::kTime:
      reset.target = ResetOffsetCall::Target::kTime;
      reset.time = FromProto(request.time(), absl::UnixEpoch());
      break;
    case admin::ResetOffsetRequest::kLatest:
      reset.target = ResetOffsetCall::Target::kLatest;
      break;
    case admin::ResetOffsetRequest::TARGET_NOT_SET:
      return absl::InvalidArgumentError("there is no target, expected an offset, a time or the latest");
  }
  std::map<ShardId, ResetOffsetCall> resets;
  for (const admin::ResetOffsetRequest::Queue& queue : request.queues()) {
    const ShardMetadata* const shard = metadata.FindShard(queue.shard());
    if (shard == nullptr) return absl::NotFoundError(absl::StrCat("there is no shard ", queue.shard()));
    const int32_t queues = topic->QueuesIn(shard->id);
    if (queue.queue() < 0 || queue.queue() >= queues) {
      return absl::NotFoundError(absl::StrCat("there is no queue ", queue.queue(), ": the topic has ", queues,
                                              " in the shard ", queue.shard()));
    }
    ResetOffsetCall& call = resets.try_emplace(shard->id, reset).first->second;
    call.shard = shard->id;
    call.queues.push_back(queue.queue());
  }
  if (!request.queues().empty()) return resets;
  return InAllShards(metadata, *topic, reset);
}

// A shard that fails is named; it may have moved the group, or not.
void ResetOffset(Proxy* proxy, CallPtr call, const admin::ResetOffsetRequest& request) {
  Snapshot metadata = proxy->router().Snapshot();
  const absl::StatusOr<std::map<ShardId, ResetOffsetCall>> resets = ResetsOf(*metadata, request);
  if (!resets.ok()) return call->Fail(resets.status());
  const bool stored = metadata->FindGroup(FromProto(request.group()))->kind == GroupKind::kOffset;
  ResetOffsets(&proxy->router(), *metadata, *resets,
               [call = std::move(call), metadata, stored](std::map<ShardId, ResetOffsetResult> results) mutable {
                 admin::ResetOffsetResponse response;
                 response.set_kind(stored ? admin::GROUP_KIND_OFFSET : admin::GROUP_KIND_DELIVERY);
                 for (const auto& [shard, moved] : results) {
                   const ShardMetadata* const place = metadata->FindShard(shard);
                   if (!moved.status.ok())
                     response.add_silent_brokers(place->leader.empty() ? place->name : place->leader);
                   for (const ResetOffsetResult::Entry& entry : moved.entries)
                     ToProto(entry, place->name, response.add_queues());
                 }
                 call->Answer(Serialize(response));
               });
}

template <typename Response>
void WriteStats(const ClusterStats& stats, const Metadata& metadata, Response* response) {
  for (const QueueStats& queue : stats.queues) ToProto(queue, metadata, response->add_queues());
  for (const GroupCount& count : stats.counts) {
    // What was deleted just now has no name any more.
    if (metadata.FindGroup(count.group) == nullptr || metadata.FindTopic(count.topic) == nullptr) continue;
    ToProto(count, metadata, response->add_counts());
  }
  for (const std::string& broker : stats.silent_brokers) response->add_silent_brokers(broker);
}

void DescribeTopic(Proxy* proxy, CallPtr call, const ResourceName& name) {
  const Snapshot metadata = proxy->router().Snapshot();
  const TopicMetadata* const topic = metadata->FindTopic(name);
  if (topic == nullptr) return call->Fail(NoTopic(name));
  auto response = std::make_unique<admin::DescribeTopicResponse>();
  ToProto(*topic, response->mutable_topic());
  StatsCall stats;
  stats.topic = topic->id;
  AskStats(&proxy->router(), *metadata, stats,
           [call = std::move(call), response = std::move(response), metadata](ClusterStats gathered) mutable {
             WriteStats(gathered, *metadata, response.get());
             call->Answer(Serialize(*response));
           });
}

void DescribeGroup(Proxy* proxy, CallPtr call, const ResourceName& name) {
  const Snapshot metadata = proxy->router().Snapshot();
  const GroupMetadata* const group = metadata->FindGroup(name);
  if (group == nullptr) return call->Fail(NoGroup(name));
  auto response = std::make_unique<admin::DescribeGroupResponse>();
  ToProto(*group, response->mutable_group());
  for (const ClientProfile& client : proxy->clients().All()) {
    if (client.group == name) ToProto(client, response->add_clients());
  }
  StatsCall stats;
  stats.group = group->id;
  AskStats(&proxy->router(), *metadata, stats,
           [call = std::move(call), response = std::move(response), metadata,
            id = group->id](ClusterStats gathered) mutable {
             // Only this group's places, whatever else a broker tells.
             std::vector<QueueStats> queues;
             for (QueueStats& queue : gathered.queues) {
               std::erase_if(queue.groups, [id](const QueueStats::Group& place) { return place.group != id; });
               if (!queue.groups.empty()) queues.push_back(std::move(queue));
             }
             gathered.queues = std::move(queues);
             std::erase_if(gathered.counts, [id](const GroupCount& count) { return count.group != id; });
             WriteStats(gathered, *metadata, response.get());
             call->Answer(Serialize(*response));
           });
}

void DescribeCluster(Proxy* proxy, const std::string& version, CallPtr call) {
  const Snapshot metadata = proxy->router().Snapshot();
  const Metadata::Tables& tables = metadata->tables();
  admin::DescribeClusterResponse response;
  response.set_cluster(tables.cluster);
  response.set_version(version);
  response.set_metadata_revision(tables.revision);
  absl::flat_hash_map<std::string, int32_t> shards_led;
  for (const ShardMetadata* shard : Router::Shards(*metadata)) {
    admin::DescribeClusterResponse::Shard* const proto = response.add_shards();
    proto->set_id(shard->id.value());
    proto->set_name(shard->name);
    proto->set_leader(shard->leader);
    proto->set_epoch(shard->epoch);
    ++shards_led[shard->leader];
  }
  for (const BrokerMetadata& broker : tables.brokers) {
    admin::DescribeClusterResponse::Broker* const proto = response.add_brokers();
    proto->set_id(broker.id);
    proto->set_endpoint(broker.endpoint);
    proto->set_shards_led(shards_led[broker.id]);
  }
  response.set_topics(static_cast<int32_t>(tables.topics.size()));
  response.set_groups(static_cast<int32_t>(tables.groups.size()));
  response.set_clients_connected(static_cast<int32_t>(proxy->clients().All().size()));
  AskStats(&proxy->router(), *metadata, {TopicId(), GroupId(), /*counts_only=*/true},
           [call = std::move(call), response = std::move(response)](ClusterStats gathered) mutable {
             for (const GroupCount& count : gathered.counts) {
               response.set_ready(response.ready() + count.ready);
               response.set_in_flight(response.in_flight() + count.in_flight);
               response.set_blocked(response.blocked() + count.blocked);
               response.set_dead_lettered(response.dead_lettered() + count.dead_lettered);
               if (count.group == GroupId()) response.set_delayed(response.delayed() + count.delayed);
             }
             for (const std::string& broker : gathered.silent_brokers) response.add_silent_brokers(broker);
             call->Answer(Serialize(response));
           });
}

// By name; those of one namespace if `space` is given.
template <typename Item>
std::vector<const Item*> Sorted(const std::vector<Item>& items, const std::string* space) {
  std::vector<const Item*> sorted;
  for (const Item& item : items) {
    if (space == nullptr || item.name.space == *space) sorted.push_back(&item);
  }
  std::sort(sorted.begin(), sorted.end(), [](const Item* a, const Item* b) { return a->name < b->name; });
  return sorted;
}

void AddTopicMethods(Proxy* proxy, edge::MethodTable* table) {
  AddAdminMethod<admin::CreateTopicRequest>(
      table, "CreateTopic", [proxy](CallPtr call, const admin::CreateTopicRequest& request) {
        absl::StatusOr<TopicMetadata> topic = FromProto(request);
        if (!topic.ok()) return call->Fail(topic.status());
        ResourceName name = topic->name;
        proxy->controller()->CreateTopic(*std::move(topic), AnswerTopic(std::move(call), std::move(name)));
      });
  AddAdminMethod<admin::UpdateTopicRequest>(
      table, "UpdateTopic", [proxy](CallPtr call, const admin::UpdateTopicRequest& request) {
        absl::StatusOr<TopicUpdate> update = FromProto(request);
        if (!update.ok()) return call->Fail(update.status());
        ResourceName name = update->name;
        proxy->controller()->UpdateTopic(*std::move(update), AnswerTopic(std::move(call), std::move(name)));
      });
  AddAdminMethod<admin::DeleteTopicRequest>(
      table, "DeleteTopic", [proxy](CallPtr call, const admin::DeleteTopicRequest& request) {
        proxy->controller()->DeleteTopic(FromProto(request.name()),
                                         [call = std::move(call)](absl::StatusOr<Snapshot> changed) mutable {
                                           AnswerOr(std::move(call), changed.status(), admin::DeleteTopicResponse());
                                         });
      });
  AddAdminMethod<admin::ListTopicsRequest>(
      table, "ListTopics", [proxy](CallPtr call, const admin::ListTopicsRequest& request) {
        const Snapshot metadata = proxy->router().Snapshot();
        admin::ListTopicsResponse response;
        const std::string* const space = request.has_namespace_() ? &request.namespace_() : nullptr;
        for (const TopicMetadata* topic : Sorted(metadata->tables().topics, space))
          ToProto(*topic, response.add_topics());
        call->Answer(Serialize(response));
      });
  AddAdminMethod<admin::DescribeTopicRequest>(table, "DescribeTopic",
                                              [proxy](CallPtr call, const admin::DescribeTopicRequest& request) {
                                                DescribeTopic(proxy, std::move(call), FromProto(request.name()));
                                              });
}

void AddGroupMethods(Proxy* proxy, edge::MethodTable* table) {
  AddAdminMethod<admin::CreateGroupRequest>(
      table, "CreateGroup", [proxy](CallPtr call, const admin::CreateGroupRequest& request) {
        absl::StatusOr<GroupMetadata> group = FromProto(request);
        if (!group.ok()) return call->Fail(group.status());
        ResourceName name = group->name;
        proxy->controller()->CreateGroup(*std::move(group), AnswerGroup(std::move(call), std::move(name)));
      });
  AddAdminMethod<admin::UpdateGroupRequest>(
      table, "UpdateGroup", [proxy](CallPtr call, const admin::UpdateGroupRequest& request) {
        absl::StatusOr<GroupUpdate> update = FromProto(request);
        if (!update.ok()) return call->Fail(update.status());
        ResourceName name = update->name;
        proxy->controller()->UpdateGroup(*std::move(update), AnswerGroup(std::move(call), std::move(name)));
      });
  AddAdminMethod<admin::DeleteGroupRequest>(
      table, "DeleteGroup", [proxy](CallPtr call, const admin::DeleteGroupRequest& request) {
        proxy->controller()->DeleteGroup(FromProto(request.name()),
                                         [call = std::move(call)](absl::StatusOr<Snapshot> changed) mutable {
                                           AnswerOr(std::move(call), changed.status(), admin::DeleteGroupResponse());
                                         });
      });
  AddAdminMethod<admin::ListGroupsRequest>(
      table, "ListGroups", [proxy](CallPtr call, const admin::ListGroupsRequest& request) {
        const Snapshot metadata = proxy->router().Snapshot();
        admin::ListGroupsResponse response;
        const std::string* const space = request.has_namespace_() ? &request.namespace_() : nullptr;
        for (const GroupMetadata* group : Sorted(metadata->tables().groups, space))
          ToProto(*group, response.add_groups());
        call->Answer(Serialize(response));
      });
  AddAdminMethod<admin::DescribeGroupRequest>(table, "DescribeGroup",
                                              [proxy](CallPtr call, const admin::DescribeGroupRequest& request) {
                                                DescribeGroup(proxy, std::move(call), FromProto(request.name()));
                                              });
}

}  // namespace

void AddAdminService(Proxy* proxy, std::string version, edge::MethodTable* table) {
  AddTopicMethods(proxy, table);
  AddGroupMethods(proxy, table);
  AddMessageMethods(proxy, table);
  AddAdminMethod<admin::ListTransactionsRequest>(table, "ListTransactions",
                                                 [proxy](CallPtr call, const admin::ListTransactionsRequest& request) {
                                                   ListTransactions(proxy, std::move(call), request);
                                                 });
  AddAdminMethod<admin::ResetOffsetRequest>(table, "ResetOffset",
                                            [proxy](CallPtr call, const admin::ResetOffsetRequest& request) {
                                              ResetOffset(proxy, std::move(call), request);
                                            });
  AddAdminMethod<admin::DescribeClusterRequest>(
      table, "DescribeCluster",
      [proxy, version = std::move(version)](CallPtr call, const admin::DescribeClusterRequest&) {
        DescribeCluster(proxy, version, std::move(call));
      });
}

}  // namespace barid::proxy
