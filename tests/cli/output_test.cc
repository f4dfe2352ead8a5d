#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <sstream>

#include "base/clock.h"
#include "cli/describe.h"
#include "cli/json.h"
#include "cli/table.h"
#include "cli/text.h"

namespace barid::cli {
namespace {

TEST(TableTest, AlignsColumnsAndPutsNumbersRight) {
  Table table({"TOPIC", "TYPE", "QUEUES"});
  table.AddRow({"orders", "normal", "4"});
  table.AddRow({"%DLQ%é", "", "1024"});
  std::ostringstream out;
  table.Print(out);
  EXPECT_EQ(out.str(),
            "TOPIC   TYPE    QUEUES\n"
            "orders  normal       4\n"
            "%DLQ%é  -         1024\n");
}

TEST(TableTest, WithoutHeadingsIsAListOfValues) {
  Table table({});
  table.AddRow({"cluster", "a"});
  table.AddRow({"id", "bb"});
  std::ostringstream out;
  table.Print(out);
  EXPECT_EQ(out.str(), "cluster  a\nid       bb\n");
}

TEST(TableTest, WithoutRowsHasItsHeadings) {
  std::ostringstream out;
  Table({"A", "B"}).Print(out);
  EXPECT_EQ(out.str(), "A  B\n");
}

TEST(JsonWriterTest, WritesNestedValues) {
  JsonWriter json;
  json.BeginObject().Field("name", "a\"b\\\n\x01").Field("count", 3).Field("yes", true).Field("half", 0.5);
  json.Key("list").BeginArray().Value(1).Value("x").BeginObject().End().End();
  json.Key("none").BeginArray().End().End();
  EXPECT_EQ(json.text(), R"({"name":"a\"b\\\n\u0001","count":3,"yes":true,"half":0.5,"list":[1,"x",{}],"none":[]})");
}

TEST(JsonWriterTest, IsUtf8WhateverItIsGiven) {
  EXPECT_EQ(JsonWriter().Value("gr\xc3\xbc\xc3\x9f").text(), "\"gr\xc3\xbc\xc3\x9f\"");
  EXPECT_EQ(JsonWriter().Value("a\xffz").text(), "\"a\xef\xbf\xbdz\"");
  EXPECT_EQ(JsonWriter().Value(std::numeric_limits<double>::quiet_NaN()).text(), "null");
}

TEST(TextTest, TellsUtf8FromOtherBytes) {
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8("a\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80"));
  EXPECT_FALSE(IsUtf8("\xc0\x80")) << "overlong";
  EXPECT_FALSE(IsUtf8("\xed\xa0\x80")) << "surrogate";
  EXPECT_FALSE(IsUtf8("\xf4\x90\x80\x80")) << "too large";
  EXPECT_FALSE(IsUtf8("\xe2\x82")) << "cut";
  EXPECT_TRUE(IsPrintable("a\tb\n"));
  EXPECT_FALSE(IsPrintable("\x1b[2J"));
}

TEST(TextTest, DumpsBytes) {
  EXPECT_EQ(HexDump(absl::string_view("hello\0\xff world, 17", 18)),
            "00000000  68 65 6c 6c 6f 00 ff 20  77 6f 72 6c 64 2c 20 31  |hello.. world, 1|\n"
            "00000010  37 00                                             |7.|\n");
}

TEST(TextTest, TimesKeepTheirNanosecondsOnTheWire) {
  google::protobuf::Timestamp proto;
  ToProto(absl::FromUnixNanos(-1), &proto);
  EXPECT_EQ(proto.seconds(), -1);
  EXPECT_EQ(proto.nanos(), 999'999'999);
  EXPECT_EQ(FromProto(proto), absl::FromUnixNanos(-1));
  EXPECT_EQ(TimeText(absl::FromUnixMillis(1'780'000'000'123)), "2026-05-28T20:26:40.123Z");
}

v2::Message Example() {
  v2::Message message;
  message.mutable_topic()->set_name("orders");
  message.set_body("hello");
  (*message.mutable_user_properties())["region"] = "eu";
  v2::SystemProperties* const system = message.mutable_system_properties();
  system->set_message_id("01AB");
  system->set_tag("paid");
  system->add_keys("k1");
  system->add_keys("k2");
  system->set_queue_id(3);
  system->set_queue_offset(42);
  system->set_delivery_attempt(2);
  system->mutable_store_timestamp()->set_seconds(1'780'000'000);
  system->set_receipt_handle("r");
  return message;
}

TEST(MessageTest, ForAPerson) {
  std::ostringstream out;
  PrintMessage(Example(), out);
  EXPECT_EQ(out.str(),
            "topic         orders\n"
            "queue/offset  3/42\n"
            "id            01AB\n"
            "attempt       2\n"
            "tag           paid\n"
            "keys          k1 k2\n"
            "stored        2026-05-28T20:26:40.000Z\n"
            "property      region=eu\n"
            "body          5 bytes\n"
            "hello\n\n");
}

TEST(MessageTest, AnUnprintableBodyIsDumpedAndATagCannotMoveTheCursor) {
  v2::Message message = Example();
  message.set_body(std::string("\x00\x01", 2));
  message.mutable_system_properties()->set_tag("\x1b[2J");
  std::ostringstream out;
  PrintMessage(message, out);
  EXPECT_THAT(out.str(), testing::HasSubstr("tag           \\x1b[2J\n"));
  EXPECT_THAT(out.str(), testing::HasSubstr("00000000  00 01  "));
}

TEST(MessageTest, OnOneLine) {
  std::ostringstream out;
  PrintMessageLine(Example(), out);
  EXPECT_EQ(out.str(), "2026-05-28T20:26:40.000Z  3/42  01AB  tag=paid  keys=k1,k2  region=eu  hello\n");
}

TEST(MessageTest, ALongBodyIsCutBetweenCharacters) {
  v2::Message message = Example();
  std::string body(199, 'a');
  body += "\xc3\xbc tail";
  message.set_body(body);
  std::ostringstream out;
  PrintMessageLine(message, out);
  EXPECT_THAT(out.str(), testing::EndsWith(std::string(199, 'a') + "... (206 bytes)\n"));
}

TEST(MessageTest, ForAProgram) {
  std::ostringstream out;
  PrintMessageJson(Example(), out);
  EXPECT_EQ(out.str(),
            R"({"topic":"orders","queue":3,"offset":42,"id":"01AB","attempt":2,"tag":"paid","keys":["k1","k2"],)"
            R"("properties":{"region":"eu"},"stored":"2026-05-28T20:26:40.000Z","receipt":"r","body":"hello"})"
            "\n");
  v2::Message binary = Example();
  binary.set_body("\xff");
  std::ostringstream binary_out;
  PrintMessageJson(binary, binary_out);
  EXPECT_THAT(binary_out.str(), testing::HasSubstr(R"("body_base64":"/w==")"));
}

}  // namespace
}  // namespace barid::cli
