#include "rpc/controller_client.h"

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "barid/controller/v1/controller.grpc.pb.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/status.h"
#include "codec/controller_codec.h"
#include "rpc/status.h"

namespace barid::rpc {
namespace {

using controller_pb::ChangeResponse;
using Async = controller_pb::Controller::StubInterface::async_interface;

template <typename Request, typename Response>
using Method = void (Async::*)(grpc::ClientContext*, const Request*, Response*, std::function<void(grpc::Status)>);

}  // namespace

// What tasks on the executor keep alive. Its state is touched on the executor only, but for what the mutex guards.
//
// gRPC's threads hold plain pointers, and Stop waits for them. They must never be the last to let go of a channel,
// directly or through a core or a ClientContext: in gRPC 1.51 the last channel takes the queue down on which that very
// thread waits.
class ControllerClient::Core : public std::enable_shared_from_this<Core> {
 public:
  Core(const std::vector<std::shared_ptr<grpc::Channel>>& channels, Executor* executor, Random* random,
       const ControllerClientOptions& options)
      : executor_(executor), random_(random), options_(options), backoff_(options.first_backoff) {
    CHECK(!channels.empty());
    for (const auto& channel : channels) stubs_.push_back(controller_pb::Controller::NewStub(channel));
  }

  void Start() {
    executor_->Post([core = shared_from_this()] { core->OpenWatch(); });
  }
  void Stop();

  std::shared_ptr<const Metadata> Current() const {
    MutexLock lock(&mu_);
    return current_;
  }

  // Any thread.
  template <typename Request>
  void Change(Method<Request, ChangeResponse> method, Request request, Changed done) {
    Call<Request, ChangeResponse>(
        method, std::move(request),
        [core = shared_from_this(), done = std::move(done)](absl::StatusOr<ChangeResponse> response) mutable {
          if (!response.ok()) return done(response.status());
          core->AwaitRevision(response->revision(), std::move(done));
        });
  }
  template <typename Request, typename Response>
  void Call(Method<Request, Response> method, Request request,
            absl::AnyInvocable<void(absl::StatusOr<Response>)> done) {
    auto attempt = std::make_shared<Attempt<Request, Response>>();
    attempt->method = method;
    attempt->request = std::move(request);
    attempt->done = std::move(done);
    executor_->Post([core = shared_from_this(), attempt] { core->StartAttempt(attempt); });
  }
  void Observe(absl::AnyInvocable<void(std::shared_ptr<const Metadata>)> observer) {
    executor_->Post([core = shared_from_this(), observer = std::move(observer)]() mutable {
      if (core->Current()->revision() > 0) observer(core->Current());
      core->observers_.push_back(std::move(observer));
    });
  }

 private:
  template <typename Request, typename Response>
  struct Attempt {
    Method<Request, Response> method;
    Request request;
    Response response;
    absl::AnyInvocable<void(absl::StatusOr<Response>)> done;
    std::unique_ptr<grpc::ClientContext> context;
    bool is_second = false;
    size_t stub = 0;  // Which one was asked.
  };
  struct Waiter {
    int64_t revision = 0;
    Changed done;
  };
  class WatchStream;

  // A gRPC operation that will call back: kept, with the context by which Stop cancels it, until End. 0: stopping, the
  // operation must not start.
  struct Operation {
    grpc::ClientContext* context = nullptr;
    std::shared_ptr<void> owner;  // Of the context.
  };
  int64_t Begin(Operation operation);
  // Hands the owner back. On any thread, before End.
  std::shared_ptr<void> TakeOwner(int64_t operation);
  // The last that gRPC's threads do with this core.
  void End(int64_t operation);
  bool IsStopping() const {
    MutexLock lock(&mu_);
    return is_stopping_;
  }

  template <typename Request, typename Response>
  void StartAttempt(std::shared_ptr<Attempt<Request, Response>> attempt);
  template <typename Request, typename Response>
  void FinishAttempt(std::shared_ptr<Attempt<Request, Response>> attempt, const absl::Status& status);
  void AwaitRevision(int64_t revision, Changed done);
  void FailWaiters();

  void OpenWatch();
  void OnUpdate(int64_t watch, const controller_pb::MetadataUpdate& update);
  void OnWatchEnd(int64_t watch, const absl::Status& status);
  absl::Status Accept(const controller_pb::MetadataUpdate& update);
  void UseNextAfter(size_t stub) {
    if (stub == stub_) stub_ = (stub_ + 1) % stubs_.size();
  }

  Executor* const executor_;
  Random* const random_;
  const ControllerClientOptions options_;
  std::vector<std::unique_ptr<controller_pb::Controller::Stub>> stubs_;

  // On the executor.
  size_t stub_ = 0;    // The controller that is asked now.
  int64_t watch_ = 0;  // The number of the newest watch; what older ones still say is passed over.
  std::shared_ptr<grpc::ClientContext> watch_context_;
  bool must_be_snapshot_ = true;
  absl::Duration backoff_;
  int64_t next_waiter_ = 0;
  std::map<int64_t, Waiter> waiters_;
  std::vector<absl::AnyInvocable<void(std::shared_ptr<const Metadata>)>> observers_;

  mutable Mutex mu_;
  CondVar idle_;
  std::shared_ptr<const Metadata> current_ ABSL_GUARDED_BY(mu_) = std::make_shared<const Metadata>();
  bool is_stopping_ ABSL_GUARDED_BY(mu_) = false;
  int64_t last_operation_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<int64_t, Operation> running_ ABSL_GUARDED_BY(mu_);
};

// One stream of updates. Deletes itself when gRPC is done with it.
class ControllerClient::Core::WatchStream : public grpc::ClientReadReactor<controller_pb::MetadataUpdate> {
 public:
  // The core keeps the context until `operation` ends.
  WatchStream(Core* core, grpc::ClientContext* context, int64_t operation, int64_t number)
      : core_(core), context_(context), operation_(operation), number_(number) {}

  void Start(controller_pb::Controller::Stub* stub) {
    stub->async()->Watch(context_, &request_, this);
    StartRead(&update_);
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;  // OnDone says why.
    auto update = std::make_shared<controller_pb::MetadataUpdate>();
    update->Swap(&update_);
    core_->executor_->Post(
        [core = core_->shared_from_this(), number = number_, update] { core->OnUpdate(number, *update); });
    StartRead(&update_);
  }
  void OnDone(const grpc::Status& status) override {
    Core* const core = core_;
    const int64_t operation = operation_;
    core->executor_->Post([core = core->shared_from_this(), number = number_, status = FromGrpcStatus(status)] {
      core->OnWatchEnd(number, status);
    });
    delete this;
    core->End(operation);
  }

 private:
  Core* const core_;
  grpc::ClientContext* const context_;
  const int64_t operation_;
  const int64_t number_;
  controller_pb::WatchRequest request_;
  controller_pb::MetadataUpdate update_;
};

int64_t ControllerClient::Core::Begin(Operation operation) {
  MutexLock lock(&mu_);
  if (is_stopping_) return 0;
  running_.emplace(++last_operation_, std::move(operation));
  return last_operation_;
}

std::shared_ptr<void> ControllerClient::Core::TakeOwner(int64_t operation) {
  MutexLock lock(&mu_);
  Operation& running = running_.at(operation);
  running.context = nullptr;  // It is over: nothing to cancel.
  return std::move(running.owner);
}

void ControllerClient::Core::End(int64_t operation) {
  MutexLock lock(&mu_);
  running_.erase(operation);
  if (running_.empty()) idle_.SignalAll();
}

void ControllerClient::Core::Stop() {
  CHECK(!executor_->IsCurrent());
  {
    MutexLock lock(&mu_);
    is_stopping_ = true;
    for (const auto& [id, operation] : running_) {
      if (operation.context != nullptr) operation.context->TryCancel();
    }
    while (!running_.empty()) idle_.Wait(&mu_);
  }
  // Now gRPC posts nothing more. What it posted runs before this; what comes after it finds the core stopping.
  RunAndWait(executor_, [this] {
    FailWaiters();
    observers_.clear();
  });
}

template <typename Request, typename Response>
void ControllerClient::Core::StartAttempt(std::shared_ptr<Attempt<Request, Response>> attempt) {
  attempt->context = std::make_unique<grpc::ClientContext>();
  attempt->context->set_deadline(gpr_time_from_micros(absl::ToInt64Microseconds(options_.call_timeout), GPR_TIMESPAN));
  attempt->context->set_wait_for_ready(attempt->is_second);
  attempt->stub = stub_;
  const int64_t operation = Begin({attempt->context.get(), attempt});
  if (operation == 0) return attempt->done(absl::UnavailableError("the controller's client is stopping"));
  Async* const async = stubs_[stub_]->async();
  (async->*attempt->method)(attempt->context.get(), &attempt->request, &attempt->response,
                            [core = this, operation](const grpc::Status& status) {
                              auto attempt =
                                  std::static_pointer_cast<Attempt<Request, Response>>(core->TakeOwner(operation));
                              core->executor_->Post([core = core->shared_from_this(), attempt = std::move(attempt),
                                                     status = FromGrpcStatus(status)]() mutable {
                                core->FinishAttempt(std::move(attempt), status);
                              });
                              core->End(operation);
                            });
}

template <typename Request, typename Response>
void ControllerClient::Core::FinishAttempt(std::shared_ptr<Attempt<Request, Response>> attempt,
                                           const absl::Status& status) {
  if (status.ok()) return attempt->done(std::move(attempt->response));
  if (absl::IsUnavailable(status) && !attempt->is_second && !IsStopping()) {
    UseNextAfter(attempt->stub);
    attempt->is_second = true;
    attempt->response.Clear();
    return StartAttempt(std::move(attempt));
  }
  attempt->done(Annotate(status, "controller"));
}

void ControllerClient::Core::AwaitRevision(int64_t revision, Changed done) {
  DCHECK(executor_->IsCurrent());
  if (IsStopping()) return done(absl::UnavailableError("the controller's client is stopping"));
  std::shared_ptr<const Metadata> current = Current();
  if (current->revision() >= revision) return done(std::move(current));
  const int64_t number = next_waiter_++;
  waiters_.emplace(number, Waiter{revision, std::move(done)});
  executor_->PostAfter(options_.call_timeout, [weak = weak_from_this(), number, revision] {
    const std::shared_ptr<Core> core = weak.lock();
    if (core == nullptr) return;
    auto waiter = core->waiters_.extract(number);
    if (waiter.empty()) return;  // Answered.
    waiter.mapped().done(absl::DeadlineExceededError(
        absl::StrCat("the change was made at revision ", revision, ", which the watch has not reached")));
  });
}

void ControllerClient::Core::FailWaiters() {
  for (auto& [number, waiter] : std::exchange(waiters_, {})) {
    waiter.done(absl::UnavailableError("the controller's client is stopping"));
  }
}

void ControllerClient::Core::OpenWatch() {
  watch_context_ = std::make_shared<grpc::ClientContext>();
  const int64_t operation = Begin({watch_context_.get(), watch_context_});
  if (operation == 0) return;
  must_be_snapshot_ = true;
  (new WatchStream(this, watch_context_.get(), operation, ++watch_))->Start(stubs_[stub_].get());
}

void ControllerClient::Core::OnUpdate(int64_t watch, const controller_pb::MetadataUpdate& update) {
  DCHECK(executor_->IsCurrent());
  if (watch != watch_ || IsStopping()) return;
  const int64_t revision_before = Current()->revision();
  if (const absl::Status status = Accept(update); !status.ok()) {
    watch_context_->TryCancel();
    OnWatchEnd(watch, status);
    return;
  }
  backoff_ = options_.first_backoff;
  const std::shared_ptr<const Metadata> current = Current();
  if (current->revision() == revision_before) return;  // A new connection, and nothing new.
  for (auto& observer : observers_) observer(current);
  for (auto it = waiters_.begin(); it != waiters_.end();) {
    auto waiter = it++;
    if (waiter->second.revision > current->revision()) continue;
    Changed done = std::move(waiter->second.done);
    waiters_.erase(waiter);
    done(current);
  }
}

absl::Status ControllerClient::Core::Accept(const controller_pb::MetadataUpdate& update) {
  if (update.snapshot() != must_be_snapshot_) {
    return absl::InternalError("a watch's first update, and no other one, is a snapshot");
  }
  const std::shared_ptr<const Metadata> current = Current();
  if (current->revision() > 0 && update.cluster() != current->tables().cluster) {
    return absl::FailedPreconditionError(absl::StrCat("the controller is of the cluster \"", update.cluster(),
                                                      "\", this process follows \"", current->tables().cluster,
                                                      "\": check the addresses"));
  }
  if (update.revision() < current->revision()) {
    return absl::UnavailableError(absl::StrCat("the controller is at revision ", update.revision(),
                                               ", behind what was seen already: ", current->revision()));
  }
  ASSIGN_OR_RETURN(Metadata::Tables tables, ApplyUpdate(current->tables(), update));
  must_be_snapshot_ = false;
  auto accepted = std::make_shared<const Metadata>(std::move(tables));
  MutexLock lock(&mu_);
  current_ = std::move(accepted);
  return absl::OkStatus();
}

void ControllerClient::Core::OnWatchEnd(int64_t watch, const absl::Status& status) {
  DCHECK(executor_->IsCurrent());
  if (watch != watch_ || IsStopping()) return;
  ++watch_;
  // A half of it by chance, so that many clients of a controller that restarts do not return in step.
  const absl::Duration delay = backoff_ * (1 - 0.5 * static_cast<double>(random_->Below(1000)) / 1000);
  LOG(WARNING) << "controller's watch ended" << KV("status", status) << KV("controller", stub_)
               << KV("retry_in", delay);
  backoff_ = std::min(2 * backoff_, options_.max_backoff);
  UseNextAfter(stub_);
  executor_->PostAfter(delay, [weak = weak_from_this()] {
    if (const std::shared_ptr<Core> core = weak.lock()) core->OpenWatch();
  });
}

ControllerClient::ControllerClient(std::vector<std::shared_ptr<grpc::Channel>> channels, Executor* executor,
                                   Random* random, const ControllerClientOptions& options)
    : core_(std::make_shared<Core>(channels, executor, random, options)) {
  core_->Start();
}

ControllerClient::~ControllerClient() { core_->Stop(); }

std::shared_ptr<const Metadata> ControllerClient::Current() const { return core_->Current(); }

void ControllerClient::CreateTopic(TopicMetadata topic, Changed done) {
  controller_pb::CreateTopicRequest request;
  Encode(topic, request.mutable_topic());
  core_->Change<controller_pb::CreateTopicRequest>(&Async::CreateTopic, std::move(request), std::move(done));
}

void ControllerClient::UpdateTopic(TopicUpdate update, Changed done) {
  controller_pb::UpdateTopicRequest request;
  Encode(update, &request);
  core_->Change<controller_pb::UpdateTopicRequest>(&Async::UpdateTopic, std::move(request), std::move(done));
}

void ControllerClient::DeleteTopic(ResourceName name, Changed done) {
  controller_pb::DeleteTopicRequest request;
  Encode(name, request.mutable_name());
  core_->Change<controller_pb::DeleteTopicRequest>(&Async::DeleteTopic, std::move(request), std::move(done));
}

void ControllerClient::CreateGroup(GroupMetadata group, Changed done) {
  controller_pb::CreateGroupRequest request;
  Encode(group, request.mutable_group());
  core_->Change<controller_pb::CreateGroupRequest>(&Async::CreateGroup, std::move(request), std::move(done));
}

void ControllerClient::UpdateGroup(GroupUpdate update, Changed done) {
  controller_pb::UpdateGroupRequest request;
  Encode(update, &request);
  core_->Change<controller_pb::UpdateGroupRequest>(&Async::UpdateGroup, std::move(request), std::move(done));
}

void ControllerClient::DeleteGroup(ResourceName name, Changed done) {
  controller_pb::DeleteGroupRequest request;
  Encode(name, request.mutable_name());
  core_->Change<controller_pb::DeleteGroupRequest>(&Async::DeleteGroup, std::move(request), std::move(done));
}

void ControllerClient::Subscribe(GroupId group, TopicId topic, Changed done) {
  controller_pb::SubscribeRequest request;
  request.set_group_id(group.value());
  request.set_topic_id(topic.value());
  core_->Change<controller_pb::SubscribeRequest>(&Async::Subscribe, std::move(request), std::move(done));
}

void ControllerClient::Unsubscribe(GroupId group, TopicId topic, Changed done) {
  controller_pb::UnsubscribeRequest request;
  request.set_group_id(group.value());
  request.set_topic_id(topic.value());
  core_->Change<controller_pb::UnsubscribeRequest>(&Async::Unsubscribe, std::move(request), std::move(done));
}

void ControllerClient::ReportGroups(GroupReport report) {
  controller_pb::ReportGroupsRequest request;
  Encode(report, &request);
  core_->Call<controller_pb::ReportGroupsRequest, controller_pb::ReportGroupsResponse>(
      &Async::ReportGroups, std::move(request), [](absl::StatusOr<controller_pb::ReportGroupsResponse>) {});
}

void ControllerClient::RegisterBroker(BrokerRegistration registration,
                                      absl::AnyInvocable<void(absl::StatusOr<BrokerGrant>)> done) {
  controller_pb::RegisterBrokerRequest request;
  Encode(registration, &request);
  core_->Call<controller_pb::RegisterBrokerRequest, controller_pb::RegisterBrokerResponse>(
      &Async::RegisterBroker, std::move(request),
      [done = std::move(done)](absl::StatusOr<controller_pb::RegisterBrokerResponse> response) mutable {
        if (!response.ok()) return done(response.status());
        done(Decode(*response));
      });
}

void ControllerClient::RegisterReplica(std::string broker, BrokerRegistration::Replica replica, Changed done) {
  controller_pb::RegisterReplicaRequest request;
  request.mutable_replica()->set_broker(broker);
  request.mutable_replica()->set_shard_id(replica.shard.value());
  request.mutable_replica()->set_log_id(replica.log_id);
  core_->Change<controller_pb::RegisterReplicaRequest>(&Async::RegisterReplica, std::move(request), std::move(done));
}

void ControllerClient::Watch(absl::AnyInvocable<void(std::shared_ptr<const Metadata>)> observer) {
  core_->Observe(std::move(observer));
}

}  // namespace barid::rpc
