#ifndef BARID_CONTROLLER_GRPC_CONTROLLER_SERVICE_H_
#define BARID_CONTROLLER_GRPC_CONTROLLER_SERVICE_H_

#include <memory>

#include "barid/controller/v1/controller.grpc.pb.h"
#include "base/controller_calls.h"

namespace barid::controller {

// barid.controller.v1.Controller over a ControllerApi: unwrap, call, wrap.
//
// A watch's stream sends the difference between the snapshot it sent last and the newest one, and the next only when
// that has left: a slow reader costs one snapshot, however much happens meanwhile.
//
// Handlers run on gRPC's threads. Destroyed after the server that it was registered with.
class ControllerService final : public v1::Controller::CallbackService {
 public:
  // `api` is borrowed, and may be called until the server is shut down.
  explicit ControllerService(ControllerApi* api);
  ~ControllerService() override;

  // Ends every watch with UNAVAILABLE, and each one to come, so that clients go elsewhere and the server can shut down.
  void Drain();

  grpc::ServerUnaryReactor* CreateTopic(grpc::CallbackServerContext* context, const v1::CreateTopicRequest* request,
                                        v1::ChangeResponse* response) override;
  grpc::ServerUnaryReactor* UpdateTopic(grpc::CallbackServerContext* context, const v1::UpdateTopicRequest* request,
                                        v1::ChangeResponse* response) override;
  grpc::ServerUnaryReactor* DeleteTopic(grpc::CallbackServerContext* context, const v1::DeleteTopicRequest* request,
                                        v1::ChangeResponse* response) override;
  grpc::ServerUnaryReactor* CreateGroup(grpc::CallbackServerContext* context, const v1::CreateGroupRequest* request,
                                        v1::ChangeResponse* response) override;
  grpc::ServerUnaryReactor* UpdateGroup(grpc::CallbackServerContext* context, const v1::UpdateGroupRequest* request,
                                        v1::ChangeResponse* response) override;
  grpc::ServerUnaryReactor* DeleteGroup(grpc::CallbackServerContext* context, const v1::DeleteGroupRequest* request,
                                        v1::ChangeResponse* response) override;
  grpc::ServerUnaryReactor* Subscribe(grpc::CallbackServerContext* context, const v1::SubscribeRequest* request,
                                      v1::ChangeResponse* response) override;
  grpc::ServerUnaryReactor* Unsubscribe(grpc::CallbackServerContext* context, const v1::UnsubscribeRequest* request,
                                        v1::ChangeResponse* response) override;
  grpc::ServerUnaryReactor* ReportGroups(grpc::CallbackServerContext* context, const v1::ReportGroupsRequest* request,
                                         v1::ReportGroupsResponse* response) override;
  grpc::ServerUnaryReactor* RegisterBroker(grpc::CallbackServerContext* context,
                                           const v1::RegisterBrokerRequest* request,
                                           v1::RegisterBrokerResponse* response) override;
  grpc::ServerUnaryReactor* RegisterReplica(grpc::CallbackServerContext* context,
                                            const v1::RegisterReplicaRequest* request,
                                            v1::ChangeResponse* response) override;
  grpc::ServerWriteReactor<v1::MetadataUpdate>* Watch(grpc::CallbackServerContext* context,
                                                      const v1::WatchRequest* request) override;

 private:
  class WatchHub;

  ControllerApi* const api_;
  const std::shared_ptr<WatchHub> hub_;
};

}  // namespace barid::controller

#endif  // BARID_CONTROLLER_GRPC_CONTROLLER_SERVICE_H_
