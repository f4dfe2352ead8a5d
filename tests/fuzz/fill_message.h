#ifndef BARID_TESTS_FUZZ_FILL_MESSAGE_H_
#define BARID_TESTS_FUZZ_FILL_MESSAGE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "google/protobuf/message.h"

namespace barid {

struct FillOptions {
  // What stands in a string field. `parent` is the field that the message with it is in; nullptr: it is in none.
  std::function<std::string(const google::protobuf::FieldDescriptor* parent,
                            const google::protobuf::FieldDescriptor& field)>
      text = [](const google::protobuf::FieldDescriptor*, const google::protobuf::FieldDescriptor&) { return "x"; };
  int64_t large = 300;             // In 64 bits.
  std::optional<int> alternative;  // Of each oneof, counted round; nullopt: none.
  int max_depth = 4;
};

// Puts something into every field, so that mutations of a seed need not invent them.
inline void FillMessage(const FillOptions& options, google::protobuf::Message* message,
                        const google::protobuf::FieldDescriptor* parent = nullptr, int depth = 0) {
  using google::protobuf::FieldDescriptor;
  const google::protobuf::Reflection& in = *message->GetReflection();
  for (int i = 0; i < message->GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* const field = message->GetDescriptor()->field(i);
    if (field->is_map()) continue;
    if (const auto* oneof = field->real_containing_oneof();
        oneof != nullptr &&
        (!options.alternative || field->index_in_oneof() != *options.alternative % oneof->field_count())) {
      continue;
    }
    const bool repeated = field->is_repeated();
    const auto large = static_cast<uint64_t>(options.large);
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        if (depth == options.max_depth) break;
        FillMessage(options, repeated ? in.AddMessage(message, field) : in.MutableMessage(message, field), field,
                    depth + 1);
        break;
      case FieldDescriptor::CPPTYPE_STRING: {
        const std::string text = options.text(parent, *field);
        repeated ? in.AddString(message, field, text) : in.SetString(message, field, text);
        break;
      }
      case FieldDescriptor::CPPTYPE_INT32:
        repeated ? in.AddInt32(message, field, 3) : in.SetInt32(message, field, 3);
        break;
      case FieldDescriptor::CPPTYPE_UINT32:
        repeated ? in.AddUInt32(message, field, 3) : in.SetUInt32(message, field, 3);
        break;
      case FieldDescriptor::CPPTYPE_INT64:
        repeated ? in.AddInt64(message, field, options.large) : in.SetInt64(message, field, options.large);
        break;
      case FieldDescriptor::CPPTYPE_UINT64:
        repeated ? in.AddUInt64(message, field, large) : in.SetUInt64(message, field, large);
        break;
      case FieldDescriptor::CPPTYPE_BOOL:
        repeated ? in.AddBool(message, field, true) : in.SetBool(message, field, true);
        break;
      case FieldDescriptor::CPPTYPE_ENUM:
        repeated ? in.AddEnumValue(message, field, 1) : in.SetEnumValue(message, field, 1);
        break;
      case FieldDescriptor::CPPTYPE_FLOAT:
        repeated ? in.AddFloat(message, field, 0.5f) : in.SetFloat(message, field, 0.5f);
        break;
      case FieldDescriptor::CPPTYPE_DOUBLE:
        repeated ? in.AddDouble(message, field, 0.5) : in.SetDouble(message, field, 0.5);
        break;
    }
  }
}

}  // namespace barid

#endif  // BARID_TESTS_FUZZ_FILL_MESSAGE_H_
