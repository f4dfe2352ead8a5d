#include "controller/grpc/controller_service.h"

#include <set>
#include <utility>

#include "base/log.h"
#include "base/mutex.h"
#include "codec/controller_codec.h"
#include "rpc/status.h"

namespace barid::controller {

// The open watches, and the newest snapshot for them.
class ControllerService::WatchHub : public std::enable_shared_from_this<WatchHub> {
 public:
  void Publish(std::shared_ptr<const Metadata> snapshot) {
    MutexLock lock(&mu_);
    newest_ = std::move(snapshot);
    for (Stream* stream : streams_) Write(stream);
  }

  grpc::ServerWriteReactor<v1::MetadataUpdate>* Open() {
    auto* stream = new Stream(shared_from_this());  // Deletes itself.
    MutexLock lock(&mu_);
    streams_.insert(stream);
    if (is_draining_) {
      Finish(stream, Draining());
    } else {
      Write(stream);
    }
    return stream;
  }

  void Drain() {
    MutexLock lock(&mu_);
    is_draining_ = true;
    for (Stream* stream : streams_) Finish(stream, Draining());
  }

 private:
  // All of a stream's state belongs to the hub's lock: there are few streams, and a write only hands the bytes over.
  class Stream : public grpc::ServerWriteReactor<v1::MetadataUpdate> {
   public:
    explicit Stream(std::shared_ptr<WatchHub> hub) : hub_(std::move(hub)) {}
    void OnWriteDone(bool ok) override { hub_->OnWriteDone(this, ok); }
    void OnCancel() override { hub_->OnCancel(this); }
    void OnDone() override {
      hub_->OnDone(this);
      delete this;
    }

   private:
    friend class WatchHub;
    const std::shared_ptr<WatchHub> hub_;
    std::shared_ptr<const Metadata> sent_;               // nullptr: nothing yet.
    std::shared_ptr<const v1::MetadataUpdate> writing_;  // nullptr: no write is under way.
    bool is_finished_ = false;
  };

  static grpc::Status Draining() {
    return {grpc::StatusCode::UNAVAILABLE, "this controller is stopping: watch another"};
  }

  void OnWriteDone(Stream* stream, bool ok) {
    MutexLock lock(&mu_);
    stream->writing_ = nullptr;
    if (ok) {
      Write(stream);
    } else {
      Finish(stream, grpc::Status::CANCELLED);  // The connection is gone.
    }
  }
  void OnCancel(Stream* stream) {
    MutexLock lock(&mu_);
    Finish(stream, grpc::Status::CANCELLED);
  }
  void OnDone(Stream* stream) {
    MutexLock lock(&mu_);
    streams_.erase(stream);
  }

  void Write(Stream* stream) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (stream->is_finished_ || stream->writing_ || newest_ == nullptr || stream->sent_ == newest_) return;
    stream->writing_ = UpdateFrom(stream->sent_);
    stream->sent_ = newest_;
    stream->StartWrite(stream->writing_.get());
  }
  void Finish(Stream* stream, const grpc::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (std::exchange(stream->is_finished_, true)) return;
    stream->Finish(status);
  }

  // To the newest snapshot. Streams mostly stand at the same one, so the last update serves most of them.
  std::shared_ptr<const v1::MetadataUpdate> UpdateFrom(const std::shared_ptr<const Metadata>& from)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (update_ != nullptr && update_from_ == from && update_to_ == newest_) return update_;
    auto update = std::make_shared<v1::MetadataUpdate>();
    if (from == nullptr) {
      EncodeSnapshot(*newest_, update.get());
    } else {
      EncodeDifference(*from, *newest_, update.get());
    }
    update_from_ = from;
    update_to_ = newest_;
    return update_ = std::move(update);
  }

  Mutex mu_;
  std::shared_ptr<const Metadata> newest_ ABSL_GUARDED_BY(mu_);
  std::set<Stream*> streams_ ABSL_GUARDED_BY(mu_);
  bool is_draining_ ABSL_GUARDED_BY(mu_) = false;
  std::shared_ptr<const Metadata> update_from_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<const Metadata> update_to_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<const v1::MetadataUpdate> update_ ABSL_GUARDED_BY(mu_);
};

namespace {

// The answer to a call that changes something. gRPC keeps `response` until Finish.
ControllerApi::Changed Answer(grpc::ServerUnaryReactor* reactor, v1::ChangeResponse* response) {
  return [reactor, response](absl::StatusOr<std::shared_ptr<const Metadata>> snapshot) {
    if (snapshot.ok()) response->set_revision((*snapshot)->revision());
    reactor->Finish(rpc::ToGrpcStatus(snapshot.status()));
  };
}

}  // namespace

ControllerService::ControllerService(ControllerApi* api) : api_(api), hub_(std::make_shared<WatchHub>()) {
  // A watch cannot be taken back, so the observer owns what it needs.
  api_->Watch([hub = hub_](std::shared_ptr<const Metadata> snapshot) { hub->Publish(std::move(snapshot)); });
}

ControllerService::~ControllerService() = default;

void ControllerService::Drain() { hub_->Drain(); }

grpc::ServerUnaryReactor* ControllerService::CreateTopic(grpc::CallbackServerContext* context,
                                                         const v1::CreateTopicRequest* request,
                                                         v1::ChangeResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  absl::StatusOr<TopicMetadata> topic = Decode(request->topic());
  if (topic.ok()) {
    api_->CreateTopic(*std::move(topic), Answer(reactor, response));
  } else {
    reactor->Finish(rpc::ToGrpcStatus(topic.status()));
  }
  return reactor;
}

grpc::ServerUnaryReactor* ControllerService::UpdateTopic(grpc::CallbackServerContext* context,
                                                         const v1::UpdateTopicRequest* request,
                                                         v1::ChangeResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  api_->UpdateTopic(Decode(*request), Answer(reactor, response));
  return reactor;
}

grpc::ServerUnaryReactor* ControllerService::DeleteTopic(grpc::CallbackServerContext* context,
                                                         const v1::DeleteTopicRequest* request,
                                                         v1::ChangeResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  api_->DeleteTopic(Decode(request->name()), Answer(reactor, response));
  return reactor;
}

grpc::ServerUnaryReactor* ControllerService::CreateGroup(grpc::CallbackServerContext* context,
                                                         const v1::CreateGroupRequest* request,
                                                         v1::ChangeResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  absl::StatusOr<GroupMetadata> group = Decode(request->group());
  if (group.ok()) {
    api_->CreateGroup(*std::move(group), Answer(reactor, response));
  } else {
    reactor->Finish(rpc::ToGrpcStatus(group.status()));
  }
  return reactor;
}

grpc::ServerUnaryReactor* ControllerService::UpdateGroup(grpc::CallbackServerContext* context,
                                                         const v1::UpdateGroupRequest* request,
                                                         v1::ChangeResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  api_->UpdateGroup(Decode(*request), Answer(reactor, response));
  return reactor;
}

grpc::ServerUnaryReactor* ControllerService::DeleteGroup(grpc::CallbackServerContext* context,
                                                         const v1::DeleteGroupRequest* request,
                                                         v1::ChangeResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  api_->DeleteGroup(Decode(request->name()), Answer(reactor, response));
  return reactor;
}

grpc::ServerUnaryReactor* ControllerService::Subscribe(grpc::CallbackServerContext* context,
                                                       const v1::SubscribeRequest* request,
                                                       v1::ChangeResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  api_->Subscribe(GroupId(request->group_id()), TopicId(request->topic_id()), Answer(reactor, response));
  return reactor;
}

grpc::ServerUnaryReactor* ControllerService::Unsubscribe(grpc::CallbackServerContext* context,
                                                         const v1::UnsubscribeRequest* request,
                                                         v1::ChangeResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  api_->Unsubscribe(GroupId(request->group_id()), TopicId(request->topic_id()), Answer(reactor, response));
  return reactor;
}

grpc::ServerUnaryReactor* ControllerService::ReportGroups(grpc::CallbackServerContext* context,
                                                          const v1::ReportGroupsRequest* request,
                                                          v1::ReportGroupsResponse*) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  api_->ReportGroups(Decode(*request));
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerUnaryReactor* ControllerService::RegisterBroker(grpc::CallbackServerContext* context,
                                                            const v1::RegisterBrokerRequest* request,
                                                            v1::RegisterBrokerResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  api_->RegisterBroker(Decode(*request), [reactor, response](absl::StatusOr<BrokerGrant> grant) {
    if (grant.ok()) Encode(*grant, response);
    reactor->Finish(rpc::ToGrpcStatus(grant.status()));
  });
  return reactor;
}

grpc::ServerUnaryReactor* ControllerService::RegisterReplica(grpc::CallbackServerContext* context,
                                                             const v1::RegisterReplicaRequest* request,
                                                             v1::ChangeResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const v1::Replica& replica = request->replica();
  api_->RegisterReplica(replica.broker(), {ShardId(replica.shard_id()), replica.log_id()}, Answer(reactor, response));
  return reactor;
}

grpc::ServerWriteReactor<v1::MetadataUpdate>* ControllerService::Watch(grpc::CallbackServerContext*,
                                                                       const v1::WatchRequest*) {
  return hub_->Open();
}

}  // namespace barid::controller
