#include "cli/own_group.h"

#include <unistd.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "base/status.h"
#include "cli/failure.h"
#include "cli/text.h"

namespace barid::cli {

absl::StatusOr<std::string> CreateOwnGroup(Client* client, absl::string_view prefix, absl::Duration expire_after) {
  const std::string name = absl::StrCat(prefix, "-", getpid(), "-", absl::BytesToHexString(RealRandom()->Bytes(4)));
  admin::CreateGroupRequest request;
  *request.mutable_name() = client->Name(name);
  request.set_order(admin::DELIVERY_ORDER_NONE);
  request.mutable_start()->set_last(true);
  if (expire_after > absl::ZeroDuration()) ToProto(expire_after, request.mutable_expire_after());
  RETURN_IF_ERROR(client->Call(&admin::Admin::Stub::CreateGroup, request).status());
  return name;
}

absl::Status DeleteOwnGroup(Client* client, const std::string& name) {
  admin::DeleteGroupRequest request;
  *request.mutable_name() = client->Name(name);
  const absl::Status status = client->Call(&admin::Admin::Stub::DeleteGroup, request).status();
  if (status.ok()) return status;
  const std::string message = absl::StrCat("the group ", name, " is left over (", status.message(),
                                           "), delete it with baridctl group delete ", name);
  return ExitCodeOf(status) == ExitCode::kUnreachable ? UnreachableError(message) : RefusedError(message);
}

}  // namespace barid::cli
