#include "proxy/public/exchange.h"

#include <string>

namespace barid::proxy {
namespace {

bool IsRust(const Caller& caller, Proxy* proxy) {
  if (caller.is_rust) return true;
  const std::optional<ClientProfile> client = proxy->clients().Find(caller.id);
  return client && client->language == Language::kRust;
}

}  // namespace

const std::string& CodeName(int code) { return v2::Code_Name(static_cast<v2::Code>(code)); }

v2::Status LateStatus(StatusUse use) {
  v2::Status status;
  status.set_code(PublicCode(absl::DeadlineExceededError(""), use));
  status.set_message(
      use == StatusUse::kSend
          ? "the messages are not known to be stored when the deadline of the call has come; send them again with the "
            "same ids"
          : "there is no answer when the deadline of the call has come; what was asked for may be done or not");
  return status;
}

void WriteStatus(const absl::Status& status, StatusUse use, const Caller& caller, Proxy* proxy, v2::Status* out) {
  v2::Code code = PublicCode(status, use);
  const v2::Code classic = ClassicCode(code);
  if (classic != code && IsRust(caller, proxy)) code = classic;
  out->set_code(code);
  if (status.ok()) {
    out->set_message("OK");
  } else {
    out->set_message(std::string(status.message()));
  }
}

}  // namespace barid::proxy
