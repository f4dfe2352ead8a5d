#ifndef BARID_TESTS_CLI_FAKE_SERVER_H_
#define BARID_TESTS_CLI_FAKE_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "apache/rocketmq/v2/service.grpc.pb.h"
#include "barid/admin/v1/admin.grpc.pb.h"
#include "base/mutex.h"

namespace barid::cli {

namespace v2 = apache::rocketmq::v2;
namespace admin = barid::admin::v1;

// A small server of the public and the admin API on a port of loopback: topics of one or more shards, whose messages
// are delivered to every group once, in turn. It insists on what the contract insists on.
class FakeServer {
 public:
  explicit FakeServer(int shards = 1);
  ~FakeServer();

  const std::string& endpoint() const { return endpoint_; }

  // What happened so far.
  std::vector<v2::Message> sent(const std::string& topic);
  int acked();
  v2::FilterExpression last_filter();  // Of the last receive.
  std::map<std::string, admin::Topic> topics();
  std::map<std::string, admin::Group> groups();

  // Waits until a group whose name begins so has asked for messages.
  void AwaitReceive(const std::string& group_prefix);
  // Stores a message as if somebody had sent it.
  void Put(const std::string& topic, const std::string& body);
  // Admin calls are answered so from now on.
  void FailAdmin(grpc::Status status);

 private:
  class Messaging;
  class Admin;
  struct State;

  const std::unique_ptr<State> state_;
  const std::unique_ptr<Messaging> messaging_;
  const std::unique_ptr<Admin> admin_;
  std::string endpoint_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace barid::cli

#endif  // BARID_TESTS_CLI_FAKE_SERVER_H_
