#ifndef BARID_CLI_CLIENT_H_
#define BARID_CLI_CLIENT_H_

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "apache/rocketmq/v2/service.grpc.pb.h"
#include "barid/admin/v1/admin.grpc.pb.h"
#include "base/version.h"
#include "cli/dialer.h"

namespace barid::cli {

namespace v2 = apache::rocketmq::v2;
namespace admin = barid::admin::v1;

struct ClientOptions {
  std::string endpoint = "127.0.0.1:8081";
  std::string space;  // Of all topics and groups.
  absl::Duration timeout = absl::Seconds(5);
  TlsOptions tls;
};

// A connection to one server, with what the public contract wants of a client: its id, its headers, a deadline for
// every call. Any thread.
class Client {
 public:
  // Unreachable if nobody answers within the timeout, or, over TLS, nobody who is trusted.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(const ClientOptions& options);

  // `method` is a stub's synchronous one: `Call(&admin::Admin::Stub::CreateTopic, request)`. Errors are failures
  // (cli/failure.h); those in a public answer's status are not looked at.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (admin::Admin::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                           Response*),
                                const Request& request) {
    return CallStub(admin_.get(), method, request, options_.timeout);
  }
  // For what may have to read a log: has `patience` at least.
  template <typename Request, typename Response>
  absl::StatusOr<Response> CallPatiently(grpc::Status (admin::Admin::Stub::*method)(grpc::ClientContext*,
                                                                                    const Request&, Response*),
                                         const Request& request, absl::Duration patience = absl::Seconds(60)) {
    return CallStub(admin_.get(), method, request, std::max(options_.timeout, patience));
  }
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v2::MessagingService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                                   Response*),
                                const Request& request) {
    return CallStub(messaging_.get(), method, request, options_.timeout);
  }

  // One queue of every shard of a topic: receives are answered for all queues of its shard.
  absl::StatusOr<std::vector<v2::MessageQueue>> ShardsOf(absl::string_view topic);

  // One ReceiveMessage, which waits as long as it says. No message is an empty result. `context` is fresh; another
  // thread may cancel it, which is an empty result too.
  absl::StatusOr<std::vector<v2::Message>> Receive(const v2::ReceiveMessageRequest& request,
                                                   grpc::ClientContext* context);

  // One PullMessage, which waits as long as it says.
  struct Pulled {
    std::vector<v2::Message> messages;
    int64_t next_offset = 0;
  };
  absl::StatusOr<Pulled> Pull(const v2::PullMessageRequest& request);

  // Sends one message, under a new id and with the time of now; done means that it is durable.
  absl::StatusOr<v2::SendResultEntry> Send(v2::Message message);

  // Settles what Receive returned.
  absl::Status Ack(absl::string_view topic, absl::string_view group, const std::vector<v2::Message>& messages);
  // Which lite topics this client reads.
  absl::Status SyncLite(absl::string_view topic, absl::string_view group, v2::LiteSubscriptionAction action,
                        const std::vector<std::string>& lite_topics);

  // Headers and deadline of a call that goes around this class.
  void Prepare(absl::Duration timeout, grpc::ClientContext* context) const;

  v2::Resource Resource(absl::string_view name) const;
  admin::Name Name(absl::string_view name) const;

  // An id for a new message.
  std::string NextMessageId();

  const ClientOptions& options() const { return options_; }
  // For more connections to where this one leads.
  const Dialer& dialer() const { return dialer_; }
  const std::string& id() const { return id_; }

 private:
  Client(const ClientOptions& options, Dialer dialer, std::shared_ptr<grpc::Channel> channel);

  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> CallStub(Stub* stub,
                                    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                    const Request& request, absl::Duration timeout) {
    grpc::ClientContext context;
    Prepare(timeout, &context);
    Response response;
    const grpc::Status status = (stub->*method)(&context, request, &response);
    if (!status.ok()) return Failure(status);
    return response;
  }

  absl::Status Failure(const grpc::Status& status) const;

  const ClientOptions options_;
  const Dialer dialer_;
  const std::string id_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<admin::Admin::Stub> admin_;
  const std::unique_ptr<v2::MessagingService::Stub> messaging_;
  const std::string message_id_prefix_;
  std::atomic<uint32_t> next_message_ = 0;
};

// The outcome in an answer of the public API: OK, or refused with the code's name and the server's sentence.
absl::Status OutcomeOf(const v2::Status& status);

}  // namespace barid::cli

#endif  // BARID_CLI_CLIENT_H_
