#ifndef BARID_PROXY_PUBLIC_ADMIN_METHOD_H_
#define BARID_PROXY_PUBLIC_ADMIN_METHOD_H_

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "edge/call.h"
#include "proxy/public/conversions.h"

namespace barid::proxy {

using CallPtr = std::unique_ptr<edge::UnaryCall>;

// Serves the method `name` of barid.admin.v1.Admin with `handler(call, request)`.
template <typename Request, typename Handler>
void AddAdminMethod(edge::MethodTable* table, absl::string_view name, Handler handler) {
  table->unary[absl::StrCat("/barid.admin.v1.Admin/", name)] = [handler](CallPtr call) {
    Request request;
    if (const absl::Status status = Parse(call->request(), &request); !status.ok()) return call->Fail(status);
    handler(std::move(call), request);
  };
}

}  // namespace barid::proxy

#endif  // BARID_PROXY_PUBLIC_ADMIN_METHOD_H_
