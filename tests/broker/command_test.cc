#include "broker/command.h"

#include <set>
#include <string>

#include "base/coding.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace barid::broker {
namespace {

using ::testing::HasSubstr;

std::string Encode(const Command& command, const std::string& bulk = "") {
  return EncodePayload(command, Bytes(bulk)).ToString();
}

TEST(CommandTest, ARecordsTypeIsTheFieldNumberInTheProto) {
  const google::protobuf::Descriptor& descriptor = *log::Command::descriptor();
  ASSERT_EQ(descriptor.field_count() + 1, kCommandTypes);
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const google::protobuf::FieldDescriptor& field = *descriptor.field(i);
    EXPECT_EQ(CommandName(static_cast<uint16_t>(field.number())), field.message_type()->name());
  }
}

template <size_t... I>
void ExpectTypes(std::index_sequence<I...>) {
  const auto expect = [](const Command& command, const std::string& name) {
    EXPECT_EQ(CommandName(CommandType(command)), name);
  };
  (expect(std::variant_alternative_t<I + 1, Command>(),
          std::variant_alternative_t<I + 1, Command>::descriptor()->name()),
   ...);
}

TEST(CommandTest, EachAlternativeHasItsProtosName) { ExpectTypes(std::make_index_sequence<kCommandTypes - 1>()); }

TEST(CommandTest, UnknownTypesHaveAName) {
  EXPECT_EQ(CommandName(0), "none");
  EXPECT_EQ(CommandName(kCommandTypes), "unknown");
}

TEST(CommandTest, ACommandIsReadBackWithoutTouchingTheBulk) {
  log::Append append;
  append.mutable_queue()->set_topic_id(7);
  append.add_entries()->set_bytes(5);
  const std::string payload = Encode(append, "hello");
  const absl::StatusOr<Command> command = DecodeCommand(CommandType(append), payload);
  ASSERT_TRUE(command.ok()) << command.status();
  EXPECT_EQ(std::get<log::Append>(*command).queue().topic_id(), 7u);
  EXPECT_EQ(payload.substr(BulkOffset(payload)), "hello");
}

TEST(CommandTest, AnEmptyCommandHasAPayloadToo) {
  const std::string payload = Encode(log::EpochStart());
  EXPECT_EQ(payload.size(), sizeof(uint32_t));
  EXPECT_EQ(BulkOffset(payload), payload.size());
  EXPECT_TRUE(DecodeCommand(CommandType(log::EpochStart()), payload).ok());
}

TEST(CommandTest, TheBulkIsSharedNotCopied) {
  const Buffer bulk(std::string(1000, 'x'));
  const Bytes payload = EncodePayload(log::Append(), Bytes(bulk));
  EXPECT_EQ(payload.parts().back().data(), bulk.data());
}

TEST(CommandTest, EveryCutIsDamage) {
  log::Trim trim;
  trim.set_log_start(4096);
  const std::string payload = Encode(trim);
  for (size_t size = 0; size < payload.size(); ++size) {
    EXPECT_EQ(DecodeCommand(CommandType(trim), payload.substr(0, size)).status().code(), absl::StatusCode::kDataLoss)
        << size;
  }
}

TEST(CommandTest, ALengthBeyondThePayloadIsDamage) {
  std::string payload = Encode(log::EpochStart());
  StoreFixed<uint32_t>(payload.data(), 0xffffffff);
  EXPECT_EQ(DecodeCommand(1, payload).status().code(), absl::StatusCode::kDataLoss);
}

TEST(CommandTest, WhatDoesNotParseIsDamageAndNamed) {
  std::string payload(sizeof(uint32_t), '\0');
  payload += "\xff\xff\xff";
  StoreFixed<uint32_t>(payload.data(), 3);
  const absl::Status status = DecodeCommand(CommandType(log::Settle()), payload).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("Settle"));
}

TEST(CommandTest, AnUnknownTypeIsDamage) {
  const std::string payload = Encode(log::EpochStart());
  EXPECT_EQ(DecodeCommand(0, payload).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(DecodeCommand(kCommandTypes, payload).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace barid::broker
