#include "proxy/public/reflection_handler.h"

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "proxy/public/conversions.h"

namespace barid::proxy {
namespace {

namespace reflection = ::grpc::reflection::v1;
using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;

constexpr absl::string_view kMethods[] = {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                                          "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"};
// Names are short, and whoever asks reads the answers.
constexpr size_t kMaxRequestBytes = 4096;
constexpr size_t kMaxWaitingRequests = 64;

// What there is to see. Immutable.
class Contracts {
 public:
  explicit Contracts(const edge::MethodTable& table) {
    for (const auto& [method, handler] : table.unary) AddServiceOf(method);
    for (const auto& [method, factory] : table.streams) AddServiceOf(method);
  }

  reflection::ServerReflectionResponse Answer(const reflection::ServerReflectionRequest& request) const {
    using Request = reflection::ServerReflectionRequest;
    reflection::ServerReflectionResponse response;
    response.set_valid_host(request.host());
    *response.mutable_original_request() = request;
    switch (request.message_request_case()) {
      case Request::kFileByFilename:
        PutFile(files_.find(request.file_by_filename()), absl::StrCat("file ", request.file_by_filename()), &response);
        break;
      case Request::kFileContainingSymbol: {
        const FileDescriptor* const file = Pool()->FindFileContainingSymbol(request.file_containing_symbol());
        PutFile(file == nullptr ? files_.end() : files_.find(file->name()),
                absl::StrCat("symbol ", request.file_containing_symbol()), &response);
        break;
      }
      case Request::kAllExtensionNumbersOfType: {
        const auto* const type = Pool()->FindMessageTypeByName(request.all_extension_numbers_of_type());
        if (type == nullptr || !files_.contains(type->file()->name())) {
          PutError(absl::StatusCode::kNotFound, absl::StrCat("no message ", request.all_extension_numbers_of_type()),
                   &response);
        } else {
          response.mutable_all_extension_numbers_response()->set_base_type_name(
              request.all_extension_numbers_of_type());
        }
        break;
      }
      case Request::kListServices:
        for (const std::string& service : services_)
          response.mutable_list_services_response()->add_service()->set_name(service);
        break;
      case Request::kFileContainingExtension:
        PutError(absl::StatusCode::kNotFound, "nothing here has extensions", &response);
        break;
      case Request::MESSAGE_REQUEST_NOT_SET:
        PutError(absl::StatusCode::kInvalidArgument, "the request asks for nothing", &response);
        break;
    }
    return response;
  }

 private:
  using Files = absl::btree_map<std::string, const FileDescriptor*>;

  static const DescriptorPool* Pool() { return DescriptorPool::generated_pool(); }

  // `method` is "/package.Service/Method".
  void AddServiceOf(absl::string_view method) {
    const std::string name(method.substr(1, method.rfind('/') - 1));
    const google::protobuf::ServiceDescriptor* const service = Pool()->FindServiceByName(name);
    if (service == nullptr) return;  // v1alpha.
    services_.insert(name);
    AddFile(service->file());
  }
  void AddFile(const FileDescriptor* file) {
    if (!files_.emplace(file->name(), file).second) return;
    for (int i = 0; i < file->dependency_count(); ++i) AddFile(file->dependency(i));
  }

  static void PutError(absl::StatusCode code, std::string what, reflection::ServerReflectionResponse* response) {
    response->mutable_error_response()->set_error_code(static_cast<int>(code));
    response->mutable_error_response()->set_error_message(std::move(what));
  }
  void PutFile(Files::const_iterator found, absl::string_view name,
               reflection::ServerReflectionResponse* response) const {
    if (found == files_.end()) return PutError(absl::StatusCode::kNotFound, absl::StrCat("no ", name), response);
    absl::flat_hash_set<const FileDescriptor*> seen = {found->second};
    std::vector<const FileDescriptor*> files = {found->second};
    for (size_t i = 0; i < files.size(); ++i) {
      google::protobuf::FileDescriptorProto proto;
      files[i]->CopyTo(&proto);
      response->mutable_file_descriptor_response()->add_file_descriptor_proto(proto.SerializeAsString());
      for (int j = 0; j < files[i]->dependency_count(); ++j) {
        if (seen.insert(files[i]->dependency(j)).second) files.push_back(files[i]->dependency(j));
      }
    }
  }

  absl::btree_set<std::string> services_;
  Files files_;
};

// Requests wait, not answers: those are large, and are made when the peer can take them.
class ReflectionStream final : public edge::StreamHandler {
 public:
  ReflectionStream(std::shared_ptr<const Contracts> contracts, std::shared_ptr<edge::Stream> stream)
      : contracts_(std::move(contracts)), stream_(std::move(stream)) {}

  void OnMessage(Bytes message) override {
    if (is_finished_ || is_draining_) return;
    reflection::ServerReflectionRequest request;
    if (message.size() > kMaxRequestBytes) {
      return Finish(absl::InvalidArgumentError(
          absl::StrCat("the request has ", message.size(), " bytes, at most ", kMaxRequestBytes, " are read")));
    }
    if (const absl::Status status = Parse(message, &request); !status.ok()) return Finish(status);
    if (waiting_.size() == kMaxWaitingRequests) {
      return Finish(absl::ResourceExhaustedError(absl::StrCat(kMaxWaitingRequests, " answers wait to be read")));
    }
    waiting_.push_back(std::move(request));
    Advance();
  }
  void OnHalfClose() override {
    has_ended_ = true;
    Advance();
  }
  void OnWritable() override {
    is_writable_ = true;
    Advance();
  }
  // What was asked is answered; what is on its way is to be asked elsewhere.
  void OnDrain() override {
    is_draining_ = true;
    Advance();
  }
  void OnDone(bool delivered) override {}

 private:
  void Advance() {
    while (is_writable_ && !waiting_.empty() && !is_finished_) {
      is_writable_ = false;
      const reflection::ServerReflectionRequest request = std::move(waiting_.front());
      waiting_.pop_front();
      stream_->Write(Serialize(contracts_->Answer(request)));
    }
    if (!waiting_.empty()) return;
    if (has_ended_) return Finish(absl::OkStatus());
    if (is_draining_) Finish(absl::UnavailableError("the server stops"));
  }
  void Finish(const absl::Status& status) {
    if (!std::exchange(is_finished_, true)) stream_->Finish(status);
  }

  const std::shared_ptr<const Contracts> contracts_;
  const std::shared_ptr<edge::Stream> stream_;
  std::deque<reflection::ServerReflectionRequest> waiting_;
  bool is_writable_ = false;
  bool has_ended_ = false;
  bool is_draining_ = false;
  bool is_finished_ = false;
};

}  // namespace

void AddReflection(edge::MethodTable* table) {
  const auto contracts = std::make_shared<std::shared_ptr<const Contracts>>();
  for (const absl::string_view method : kMethods) {
    table->streams[std::string(method)] = [contracts](std::shared_ptr<edge::Stream> stream) {
      return std::make_shared<ReflectionStream>(*contracts, std::move(stream));
    };
  }
  *contracts = std::make_shared<const Contracts>(*table);
}

}  // namespace barid::proxy
