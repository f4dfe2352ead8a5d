#include "tests/cli/fake_server.h"

#include <algorithm>
#include <chrono>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace barid::cli {

struct FakeServer::State {
  Mutex mu;
  CondVar changed;
  int shards ABSL_GUARDED_BY(mu) = 1;
  std::map<std::string, admin::Topic> topics ABSL_GUARDED_BY(mu);
  std::map<std::string, admin::Group> groups ABSL_GUARDED_BY(mu);
  // By topic, then shard.
  std::map<std::string, std::vector<std::vector<v2::Message>>> messages ABSL_GUARDED_BY(mu);
  // By group, topic and shard: the next message.
  std::map<std::tuple<std::string, std::string, int>, size_t> places ABSL_GUARDED_BY(mu);
  std::set<std::string> receivers ABSL_GUARDED_BY(mu);
  int sends ABSL_GUARDED_BY(mu) = 0;
  int acked ABSL_GUARDED_BY(mu) = 0;
  v2::FilterExpression last_filter ABSL_GUARDED_BY(mu);
  grpc::Status admin_status ABSL_GUARDED_BY(mu);

  void Store(const std::string& topic, v2::Message message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    auto& queues = messages[topic];
    queues.resize(shards);
    const int shard = sends++ % shards;
    v2::SystemProperties* const system = message.mutable_system_properties();
    system->set_queue_id(3);
    system->set_queue_offset(static_cast<int64_t>(queues[shard].size()));
    system->mutable_store_timestamp()->set_seconds(1'780'000'000);
    system->set_delivery_attempt(1);
    queues[shard].push_back(std::move(message));
    changed.SignalAll();
  }
};

namespace {

grpc::Status NotFound(absl::string_view what, const std::string& name) {
  return {grpc::StatusCode::NOT_FOUND, absl::StrCat("there is no ", what, " ", name, ", create it first")};
}

bool HasClientId(const grpc::ServerContext& context) { return context.client_metadata().count("x-mq-client-id") == 1; }

void Set(v2::Code code, const std::string& message, v2::Status* status) {
  status->set_code(code);
  status->set_message(message);
}

}  // namespace

class FakeServer::Messaging : public v2::MessagingService::Service {
 public:
  explicit Messaging(State* state) : state_(state) {}

  grpc::Status QueryRoute(grpc::ServerContext* context, const v2::QueryRouteRequest* request,
                          v2::QueryRouteResponse* response) override {
    MutexLock lock(&state_->mu);
    if (state_->topics.count(request->topic().name()) == 0) {
      Set(v2::TOPIC_NOT_FOUND, absl::StrCat("there is no topic ", request->topic().name()), response->mutable_status());
      return grpc::Status::OK;
    }
    response->mutable_status()->set_code(v2::OK);
    for (int shard = 0; shard < state_->shards; ++shard) {
      for (int queue = 0; queue < 4; ++queue) {
        v2::MessageQueue* const added = response->add_message_queues();
        *added->mutable_topic() = request->topic();
        added->set_id(queue);
        added->mutable_broker()->set_name(absl::StrCat("shard-", shard));
      }
    }
    return grpc::Status::OK;
  }

  grpc::Status SendMessage(grpc::ServerContext* context, const v2::SendMessageRequest* request,
                           v2::SendMessageResponse* response) override {
    MutexLock lock(&state_->mu);
    if (!HasClientId(*context)) {
      Set(v2::CLIENT_ID_REQUIRED, "the call has no client id", response->mutable_status());
      return grpc::Status::OK;
    }
    for (const v2::Message& message : request->messages()) {
      v2::SendResultEntry* const entry = response->add_entries();
      entry->set_message_id(message.system_properties().message_id());
      if (state_->topics.count(message.topic().name()) == 0) {
        Set(v2::TOPIC_NOT_FOUND, absl::StrCat("there is no topic ", message.topic().name()), entry->mutable_status());
        *response->mutable_status() = entry->status();
        return grpc::Status::OK;
      }
      state_->Store(message.topic().name(), message);
      entry->mutable_status()->set_code(v2::OK);
      if (message.system_properties().has_delivery_timestamp()) {
        entry->set_recall_handle("Uhandle");
      } else {
        entry->set_offset(state_->sends - 1);
      }
    }
    response->mutable_status()->set_code(v2::OK);
    return grpc::Status::OK;
  }

  grpc::Status RecallMessage(grpc::ServerContext*, const v2::RecallMessageRequest* request,
                             v2::RecallMessageResponse* response) override {
    if (request->recall_handle() != "Uhandle") {
      Set(v2::NOT_FOUND, "the message has been delivered or recalled already", response->mutable_status());
      return grpc::Status::OK;
    }
    response->set_message_id(absl::StrCat("of ", request->topic().name()));
    response->mutable_status()->set_code(v2::OK);
    return grpc::Status::OK;
  }

  grpc::Status ReceiveMessage(grpc::ServerContext* context, const v2::ReceiveMessageRequest* request,
                              grpc::ServerWriter<v2::ReceiveMessageResponse>* writer) override {
    std::vector<v2::Message> found;
    {
      MutexLock lock(&state_->mu);
      state_->last_filter = request->filter_expression();
      const std::string& topic = request->message_queue().topic().name();
      if (state_->topics.count(topic) == 0) {
        v2::ReceiveMessageResponse frame;
        Set(v2::TOPIC_NOT_FOUND, absl::StrCat("there is no topic ", topic), frame.mutable_status());
        writer->Write(frame);
        return grpc::Status::OK;
      }
      if (state_->groups.count(request->group().name()) == 0) {
        v2::ReceiveMessageResponse frame;
        Set(v2::CONSUMER_GROUP_NOT_FOUND, "there is no group " + request->group().name(), frame.mutable_status());
        writer->Write(frame);
        return grpc::Status::OK;
      }
      found = Take(context, *request);
    }
    v2::ReceiveMessageResponse frame;
    frame.mutable_status()->set_code(found.empty() ? v2::MESSAGE_NOT_FOUND : v2::OK);
    writer->Write(frame);
    for (v2::Message& message : found) {
      message.mutable_system_properties()->set_receipt_handle("receipt-" + message.system_properties().message_id());
      *frame.mutable_message() = std::move(message);
      writer->Write(frame);
    }
    frame.mutable_delivery_timestamp()->set_seconds(1'780'000'000);
    writer->Write(frame);
    return grpc::Status::OK;
  }

  grpc::Status AckMessage(grpc::ServerContext*, const v2::AckMessageRequest* request,
                          v2::AckMessageResponse* response) override {
    MutexLock lock(&state_->mu);
    for (const v2::AckMessageEntry& entry : request->entries()) {
      const bool is_ours = entry.receipt_handle() == "receipt-" + entry.message_id();
      v2::AckMessageResultEntry* const result = response->add_entries();
      result->set_message_id(entry.message_id());
      result->mutable_status()->set_code(is_ours ? v2::OK : v2::INVALID_RECEIPT_HANDLE);
      if (is_ours) ++state_->acked;
    }
    response->mutable_status()->set_code(v2::OK);
    return grpc::Status::OK;
  }

 private:
  std::vector<v2::Message> Take(grpc::ServerContext* context, const v2::ReceiveMessageRequest& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(state_->mu) {
    const std::string& topic = request.message_queue().topic().name();
    // Without a name: what any shard has.
    const std::string& broker = request.message_queue().broker().name();
    const int first = broker.empty() ? 0 : broker.back() - '0';
    const int end_shard = broker.empty() ? state_->shards : first + 1;
    auto& queues = state_->messages[topic];
    queues.resize(state_->shards);
    const bool starts_last = state_->groups[request.group().name()].start().last();
    const auto place_of = [&](int shard) ABSL_EXCLUSIVE_LOCKS_REQUIRED(state_->mu) -> size_t& {
      return state_->places
          .try_emplace(std::make_tuple(request.group().name(), topic, shard), starts_last ? queues[shard].size() : 0)
          .first->second;
    };
    for (int shard = first; shard < end_shard; ++shard) place_of(shard);
    state_->receivers.insert(request.group().name());
    state_->changed.SignalAll();
    const absl::Time end = absl::Now() + absl::Seconds(request.long_polling_timeout().seconds()) +
                           absl::Nanoseconds(request.long_polling_timeout().nanos());
    std::vector<v2::Message> found;
    while (true) {
      for (int shard = first; shard < end_shard && found.empty(); ++shard) {
        const std::vector<v2::Message>& queue = queues[shard];
        size_t& place = place_of(shard);
        while (place < queue.size() && static_cast<int>(found.size()) < request.batch_size())
          found.push_back(queue[place++]);
      }
      const absl::Duration left = end - absl::Now();
      if (!found.empty() || left <= absl::ZeroDuration() || context->IsCancelled()) return found;
      state_->changed.WaitFor(&state_->mu, std::min(left, absl::Milliseconds(20)));
    }
  }

  State* const state_;
};

class FakeServer::Admin : public admin::Admin::Service {
 public:
  explicit Admin(State* state) : state_(state) {}

  grpc::Status CreateTopic(grpc::ServerContext*, const admin::CreateTopicRequest* request,
                           admin::Topic* response) override {
    MutexLock lock(&state_->mu);
    if (!state_->admin_status.ok()) return state_->admin_status;
    const std::string& name = request->name().name();
    if (state_->topics.count(name) > 0) {
      return {grpc::StatusCode::ALREADY_EXISTS,
              absl::StrCat("the topic ", name, " is there already, update or delete it")};
    }
    *response->mutable_name() = request->name();
    response->set_type(request->type());
    response->set_queues_per_shard(request->has_queues_per_shard() ? request->queues_per_shard() : 4);
    response->mutable_retention_age()->set_seconds(request->has_retention_age() ? request->retention_age().seconds()
                                                                                : 259200);
    response->set_retention_bytes(request->retention_bytes());
    response->set_keep_unsettled(request->keep_unsettled());
    response->set_idempotent(!request->has_idempotent() || request->idempotent());
    response->set_max_message_bytes(4 << 20);
    if (request->has_transaction_recovery())
      *response->mutable_transaction_recovery() = request->transaction_recovery();
    response->mutable_created()->set_seconds(1'780'000'000);
    response->set_id(7);
    state_->topics[name] = *response;
    return grpc::Status::OK;
  }

  grpc::Status DeleteTopic(grpc::ServerContext*, const admin::DeleteTopicRequest* request,
                           admin::DeleteTopicResponse*) override {
    MutexLock lock(&state_->mu);
    if (state_->topics.erase(request->name().name()) == 0) return NotFound("topic", request->name().name());
    return grpc::Status::OK;
  }

  grpc::Status ListTopics(grpc::ServerContext*, const admin::ListTopicsRequest*,
                          admin::ListTopicsResponse* response) override {
    MutexLock lock(&state_->mu);
    for (const auto& [name, topic] : state_->topics) *response->add_topics() = topic;
    return grpc::Status::OK;
  }

  grpc::Status DescribeTopic(grpc::ServerContext*, const admin::DescribeTopicRequest* request,
                             admin::DescribeTopicResponse* response) override {
    MutexLock lock(&state_->mu);
    const auto found = state_->topics.find(request->name().name());
    if (found == state_->topics.end()) return NotFound("topic", request->name().name());
    *response->mutable_topic() = found->second;
    admin::QueueStats* const queue = response->add_queues();
    queue->set_shard("shard-0");
    queue->set_end(12);
    queue->set_bytes(3456);
    queue->set_delayed(21);
    queue->set_repeated_sends(5);
    queue->set_reused_ids(2);
    admin::QueueStats::GroupPlace* const place = queue->add_groups();
    place->mutable_group()->set_name("billing");
    place->set_floor(5);
    place->set_next(7);
    place->set_in_flight(2);
    place->set_lag(7);
    admin::GroupCount* const count = response->add_counts();
    count->mutable_group()->set_name("billing");
    count->mutable_topic()->set_name("orders");
    count->set_ready(31);
    count->set_in_flight(32);
    count->set_blocked(33);
    count->set_delayed(34);
    count->set_dead_lettered(35);
    count->mutable_oldest()->set_seconds(1'780'000'000);
    return grpc::Status::OK;
  }

  grpc::Status CreateGroup(grpc::ServerContext*, const admin::CreateGroupRequest* request,
                           admin::Group* response) override {
    MutexLock lock(&state_->mu);
    *response->mutable_name() = request->name();
    response->set_order(request->order());
    *response->mutable_retry() = request->retry();
    *response->mutable_start() = request->start();
    response->set_kind(request->kind());
    if (request->has_expire_after()) *response->mutable_expire_after() = request->expire_after();
    state_->groups[request->name().name()] = *response;
    return grpc::Status::OK;
  }

  grpc::Status UpdateGroup(grpc::ServerContext*, const admin::UpdateGroupRequest* request,
                           admin::Group* response) override {
    MutexLock lock(&state_->mu);
    const auto found = state_->groups.find(request->name().name());
    if (found == state_->groups.end()) return NotFound("group", request->name().name());
    if (request->has_retry()) *found->second.mutable_retry() = request->retry();
    if (request->has_expire_after()) *found->second.mutable_expire_after() = request->expire_after();
    if (request->has_paused() && request->name().name() != "old") found->second.set_paused(request->paused());
    *response = found->second;
    return grpc::Status::OK;
  }

  grpc::Status DescribeGroup(grpc::ServerContext*, const admin::DescribeGroupRequest* request,
                             admin::DescribeGroupResponse* response) override {
    MutexLock lock(&state_->mu);
    const auto found = state_->groups.find(request->name().name());
    if (found == state_->groups.end()) return NotFound("group", request->name().name());
    *response->mutable_group() = found->second;
    return grpc::Status::OK;
  }

  grpc::Status DeleteGroup(grpc::ServerContext*, const admin::DeleteGroupRequest* request,
                           admin::DeleteGroupResponse*) override {
    MutexLock lock(&state_->mu);
    if (state_->groups.erase(request->name().name()) == 0) return NotFound("group", request->name().name());
    return grpc::Status::OK;
  }

  grpc::Status ResetOffset(grpc::ServerContext*, const admin::ResetOffsetRequest* request,
                           admin::ResetOffsetResponse* response) override {
    response->set_kind(request->group().name() == "readers" ? admin::GROUP_KIND_OFFSET : admin::GROUP_KIND_DELIVERY);
    admin::ResetOffsetResponse::Queue* const queue = response->add_queues();
    queue->set_shard(request->queues().empty() ? "shard-0" : request->queues(0).shard());
    queue->set_queue(request->queues().empty() ? 0 : request->queues(0).queue());
    queue->set_from(9);
    queue->set_to(request->has_offset() ? request->offset() : request->has_time() ? request->time().seconds() : 20);
    queue->set_end(20);
    queue->set_in_flight(3);
    queue->set_parked(2);
    if (request->topic().name() == "broken") queue->set_error("the disk is full");
    return grpc::Status::OK;
  }

  grpc::Status ListTransactions(grpc::ServerContext*, const admin::ListTransactionsRequest* request,
                                admin::ListTransactionsResponse* response) override {
    for (int i = 0; i < std::min(request->limit(), 2); ++i) {
      admin::ListTransactionsResponse::Transaction* const one = response->add_transactions();
      one->set_shard("shard-0");
      one->set_message_id(absl::StrCat(request->topic().name(), "-", i));
      one->mutable_since()->set_seconds(1'800'000'000);
      one->set_checks(3 + i);
      if (request->discarded()) {
        one->set_reason("no decision after 3 checks");
      } else {
        one->mutable_next_check()->set_seconds(1'800'000'030);
      }
    }
    return grpc::Status::OK;
  }

  // Three messages, two at a time; none with the id or key "none".
  grpc::Status FindMessages(grpc::ServerContext*, const admin::FindMessagesRequest* request,
                            admin::FindMessagesResponse* response) override {
    if (request->message_id() == "none" || request->key() == "none") return grpc::Status::OK;
    const int first = request->resume().empty() ? 0 : 2;
    for (int i = first; i < std::min(first + std::min(request->max_messages(), 2), request->has_range() ? 3 : 1); ++i) {
      admin::StoredMessage* const one = response->add_messages();
      one->set_message_id(absl::StrCat(request->topic().name(), "-", i));
      one->set_state(admin::QUEUED);
      *one->mutable_topic() = request->topic();
      one->set_shard("shard-0");
      one->set_queue(request->place().queue());
      one->set_offset(request->has_place() ? request->place().offset() : 10 + i);
      one->set_tag("t");
      one->add_keys("k");
      one->mutable_entered()->set_seconds(1'800'000'000);
      one->set_body_bytes(5);
      if (request->with_body()) one->set_body("hello");
      if (request->topic().name().starts_with("%DLQ%")) {
        one->mutable_origin()->set_topic("orders");
        one->mutable_origin()->set_attempts(17);
        one->mutable_origin()->set_reason("attempts exhausted");
      }
    }
    if (request->has_range() && first == 0) response->set_resume("1/0:2");
    return grpc::Status::OK;
  }

  grpc::Status ExplainMessage(grpc::ServerContext*, const admin::ExplainMessageRequest* request,
                              admin::ExplainMessageResponse* response) override {
    if (request->message_id() == "none") return NotFound("message", request->message_id());
    admin::ExplainMessageResponse::Life* const life = response->add_lives();
    life->mutable_message()->set_message_id(request->message_id());
    life->mutable_message()->set_state(admin::QUEUED);
    admin::ExplainMessageResponse::Life::Event* const event = life->add_events();
    event->set_what("delivered");
    event->mutable_group()->set_name("billing");
    event->set_client("ann");
    event->set_attempt(2);
    admin::ExplainMessageResponse::Life::Standing* const standing = life->add_standings();
    standing->mutable_group()->set_name("billing");
    standing->set_standing("in_flight");
    if (request->message_id() == "parked") {
      standing->set_standing("parked");
      standing->add_reasons("the group is paused");
      standing->mutable_blocked_by()->set_message_id("first");
      standing->mutable_blocked_by()->set_offset(3);
      standing->mutable_blocked_by()->set_client("bob");
    }
    if (request->message_id() == "later") {
      life->clear_standings();
      life->mutable_message()->set_state(admin::SCHEDULED);
      life->mutable_message()->mutable_due()->set_seconds(1'900'000'000);
    }
    life->mutable_log_from()->set_seconds(1'800'000'000);
    return grpc::Status::OK;
  }

  // Five dead letters of each group, of which the filter leaves one out and one fails.
  grpc::Status RedriveDeadLetters(grpc::ServerContext*, const admin::RedriveDeadLettersRequest* request,
                                  admin::RedriveDeadLettersResponse* response) override {
    if (request->resume().empty()) {
      response->set_redriven(std::min(request->max_messages(), 2));
      response->set_resume("1/2:5");
      if (!request->tags().empty() || !request->sql().empty()) response->set_filtered_out(1);
    } else {
      response->set_redriven(std::min(request->max_messages(), 3));
      if (request->topic().name() == "gone") {
        response->set_failed(1);
        response->set_failure("the topic is gone");
      }
    }
    return grpc::Status::OK;
  }

  grpc::Status DescribeCluster(grpc::ServerContext*, const admin::DescribeClusterRequest*,
                               admin::DescribeClusterResponse* response) override {
    response->set_cluster("cluster-1");
    response->set_version("0.1.0");
    admin::DescribeClusterResponse::Broker* const broker = response->add_brokers();
    broker->set_id("broker-0");
    broker->set_endpoint("127.0.0.1:8082");
    broker->set_shards_led(1);
    admin::DescribeClusterResponse::Shard* const shard = response->add_shards();
    shard->set_id(1);
    shard->set_name("shard-0");
    shard->set_leader("broker-0");
    shard->set_epoch(3);
    return grpc::Status::OK;
  }

 private:
  State* const state_;
};

FakeServer::FakeServer(int shards)
    : state_(std::make_unique<State>()),
      messaging_(std::make_unique<Messaging>(state_.get())),
      admin_(std::make_unique<Admin>(state_.get())) {
  {
    MutexLock lock(&state_->mu);
    state_->shards = shards;
  }
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(messaging_.get());
  builder.RegisterService(admin_.get());
  server_ = builder.BuildAndStart();
  endpoint_ = absl::StrCat("127.0.0.1:", port);
}

FakeServer::~FakeServer() { server_->Shutdown(std::chrono::system_clock::now()); }

std::vector<v2::Message> FakeServer::sent(const std::string& topic) {
  MutexLock lock(&state_->mu);
  std::vector<v2::Message> all;
  for (const auto& queue : state_->messages[topic]) all.insert(all.end(), queue.begin(), queue.end());
  return all;
}

int FakeServer::acked() {
  MutexLock lock(&state_->mu);
  return state_->acked;
}

v2::FilterExpression FakeServer::last_filter() {
  MutexLock lock(&state_->mu);
  return state_->last_filter;
}

std::map<std::string, admin::Topic> FakeServer::topics() {
  MutexLock lock(&state_->mu);
  return state_->topics;
}

std::map<std::string, admin::Group> FakeServer::groups() {
  MutexLock lock(&state_->mu);
  return state_->groups;
}

void FakeServer::AwaitReceive(const std::string& group_prefix) {
  MutexLock lock(&state_->mu);
  while (std::none_of(state_->receivers.begin(), state_->receivers.end(),
                      [&](const std::string& group) { return absl::StartsWith(group, group_prefix); })) {
    state_->changed.Wait(&state_->mu);
  }
}

void FakeServer::Put(const std::string& topic, const std::string& body) {
  v2::Message message;
  message.mutable_topic()->set_name(topic);
  message.set_body(body);
  MutexLock lock(&state_->mu);
  message.mutable_system_properties()->set_message_id(absl::StrCat("id-", state_->sends));
  state_->Store(topic, std::move(message));
}

void FakeServer::FailAdmin(grpc::Status status) {
  MutexLock lock(&state_->mu);
  state_->admin_status = std::move(status);
}

}  // namespace barid::cli
