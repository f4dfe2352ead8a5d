// What RFC 9113 (HTTP/2) and RFC 7541 (HPACK) ask of a server, as frames and the answer to them. Each case is named by
// its section. Where the RFC leaves a choice, all that it allows is accepted, and a comment says so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/log.h"
#include "edge/h2/h2_server.h"
#include "tests/edge/h2/frame_client.h"
#include "tests/edge/served.h"

namespace barid::edge::h2 {
namespace {

constexpr uint8_t kEndStream = NGHTTP2_FLAG_END_STREAM;
constexpr uint8_t kEndHeaders = NGHTTP2_FLAG_END_HEADERS;
constexpr uint8_t kPadded = NGHTTP2_FLAG_PADDED;
constexpr uint8_t kPriority = NGHTTP2_FLAG_PRIORITY;
constexpr uint8_t kAck = NGHTTP2_FLAG_ACK;
constexpr int kMaxStreams = 50;

// --- What a case expects ---

struct Outcome {
  enum Kind {
    kGoaway,   // A connection error: GOAWAY with `code`, then the end.
    kClosed,   // The end, with or without a GOAWAY.
    kReset,    // A stream error: RST_STREAM with `code` on stream 1; the connection goes on.
    kServed,   // Stream 1 is answered with grpc-status `code`; the connection goes on.
    kIgnored,  // The connection goes on; nothing is said of stream 1.
  };
  Kind kind = kClosed;
  uint32_t code = 0;

  bool operator==(const Outcome& other) const { return kind == other.kind && code == other.code; }
};

std::ostream& operator<<(std::ostream& out, const Outcome& outcome) {
  static constexpr const char* kNames[] = {"GOAWAY", "closed", "RST_STREAM", "served", "ignored"};
  return out << kNames[outcome.kind] << "(" << outcome.code << ")";
}

Outcome Goaway(uint32_t code) { return {Outcome::kGoaway, code}; }
Outcome Closed() { return {Outcome::kClosed}; }
Outcome ResetBy(uint32_t code) { return {Outcome::kReset, code}; }
Outcome Served(uint32_t grpc_status = 0) { return {Outcome::kServed, grpc_status}; }
Outcome Ignored() { return {Outcome::kIgnored}; }

struct Case {
  const char* section;
  const char* name;
  std::string bytes;
  std::vector<Outcome> outcomes;  // One of them.
  bool is_raw = false;            // From the first byte on: `bytes` has the preface too.
};

void PrintTo(const Case& tested, std::ostream* out) { *out << tested.section << " " << tested.name; }

// --- Frames, briefly ---

std::string H(uint32_t stream, absl::string_view block, uint8_t flags = kEndHeaders) {
  return FrameBytes(NGHTTP2_HEADERS, flags, stream, block);
}
std::string D(uint32_t stream, absl::string_view bytes, uint8_t flags = 0) {
  return FrameBytes(NGHTTP2_DATA, flags, stream, bytes);
}
std::string C(uint32_t stream, absl::string_view block, uint8_t flags = 0) {
  return FrameBytes(NGHTTP2_CONTINUATION, flags, stream, block);
}
std::string S(absl::string_view settings, uint8_t flags = 0, uint32_t stream = 0) {
  return FrameBytes(NGHTTP2_SETTINGS, flags, stream, settings);
}
std::string Priority(uint32_t stream, uint32_t parent) {
  return FrameBytes(NGHTTP2_PRIORITY, 0, stream, Number(parent, 4) + Number(15, 1));
}
std::string Echo(Headers more = {}) { return HeaderBlock(RequestHeaders("/t/Echo", std::move(more))); }
// A call that stays open, as far as the server goes.
std::string OpenStream(uint32_t stream, uint8_t flags = 0) {
  return H(stream, HeaderBlock(RequestHeaders("/t/Stream")), kEndHeaders | flags);
}
// The request headers without `name`.
Headers Without(const std::string& name) {
  Headers headers;
  for (const auto& header : RequestHeaders("/t/Echo")) {
    if (header.first != name) headers.push_back(header);
  }
  return headers;
}
Headers With(const std::string& name, const std::string& value) {
  Headers headers = RequestHeaders("/t/Echo");
  for (auto& header : headers) {
    if (header.first == name) header.second = value;
  }
  return headers;
}
// A call whose headers are these, with a message.
std::string CallWith(const Headers& headers) { return H(1, HeaderBlock(headers)) + D(1, Message("x"), kEndStream); }
std::string CallWithMore(Headers more) { return CallWith(RequestHeaders("/t/Echo", std::move(more))); }
std::string CallWithBlock(absl::string_view block) { return H(1, block) + D(1, Message("x"), kEndStream); }
std::string Bytes1(std::initializer_list<int> bytes) {
  std::string text;
  for (const int byte : bytes) text.push_back(static_cast<char>(byte));
  return text;
}

const std::string kFirst = absl::StrCat(kMagic, FrameBytes(NGHTTP2_SETTINGS, 0, 0, ""));

// One case a line.
// clang-format off
std::vector<Case> Preface() {
  const std::string request = Request(1, "/t/Echo", "x");
  return {
      {"3.4", "RequestsMayFollowThePrefaceAtOnce", kFirst + request, {Served()}, true},
      {"3.4", "SettingsMayFollowThePreface", absl::StrCat(kMagic, S(SettingBytes(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 9)), request), {Served()}, true},
      // "A GOAWAY frame MAY be omitted in this case."
      {"3.4", "AWrongPrefaceIsAnError", absl::StrCat(absl::StrReplaceAll(kMagic, {{"SM", "XX"}}), S(""), request), {Closed()}, true},
      {"3.4", "HttpOneIsAnError", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", {Closed()}, true},
      {"3.4", "AnUpgradeIsAnError", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: \r\n\r\n", {Closed()}, true},
      {"3.4", "FramesWithoutMagicAreAnError", S("") + request, {Closed()}, true},
      {"3.4", "APingInPlaceOfSettingsIsAnError", absl::StrCat(kMagic, Ping("12345678")), {Goaway(NGHTTP2_PROTOCOL_ERROR)}, true},
      {"3.4", "HeadersInPlaceOfSettingsAreAnError", absl::StrCat(kMagic, request), {Goaway(NGHTTP2_PROTOCOL_ERROR)}, true},
      {"3.4", "AnAckInPlaceOfSettingsIsAnError", absl::StrCat(kMagic, S("", kAck)), {Goaway(NGHTTP2_PROTOCOL_ERROR)}, true},
      {"3.4", "AnUnknownFrameInPlaceOfSettingsIsAnError", absl::StrCat(kMagic, FrameBytes(0x2a, 0, 0, "x")), {Goaway(NGHTTP2_PROTOCOL_ERROR)}, true},
  };
}

std::vector<Case> FrameFormat() {
  const std::string request = Request(1, "/t/Echo", "x");
  const std::string too_large(16385, 'x');
  const std::string longest = Number(0xffffff, 3);
  return {
      {"4.1", "UnknownTypesAreIgnored", FrameBytes(0x2a, 0xff, 0, "what") + request, {Served()}},
      {"4.1", "UnknownTypesOnAStreamAreIgnored", H(1, Echo()) + FrameBytes(0x2a, 0, 1, "what") + D(1, Message("x"), kEndStream), {Served()}},
      {"4.1", "UnknownTypesOnAnIdleStreamAreIgnored", FrameBytes(0x2a, 0, 7, "") + request, {Served()}},
      {"4.1", "UndefinedFlagsAreIgnored", FrameBytes(NGHTTP2_PING, 0xfe, 0, "12345678") + H(1, Echo(), kEndHeaders | 0xd0) + D(1, Message("x"), kEndStream | 0xf2), {Served()}},
      {"4.1", "TheReservedBitIsIgnored", FrameBytes(NGHTTP2_PING, 0, 0x80000000, "12345678") + Request(0x80000001, "/t/Echo", "x"), {Served()}},
      {"4.1", "TheReservedBitOfAWindowUpdateIsIgnored", FrameBytes(NGHTTP2_WINDOW_UPDATE, 0, 0, Number(0x80000001, 4)) + request, {Served()}},
      {"4.2", "TheLargestFrameIsTaken", H(1, Echo()) + D(1, Message(std::string(20000, 'x')).substr(0, 16384)) + D(1, Message(std::string(20000, 'x')).substr(16384), kEndStream), {Served()}},
      // A stream error would do for DATA.
      {"4.2", "ALargerDataIsAnError", H(1, Echo()) + D(1, too_large), {Goaway(NGHTTP2_FRAME_SIZE_ERROR), ResetBy(NGHTTP2_FRAME_SIZE_ERROR)}},
      {"4.2", "LargerHeadersAreAnError", H(1, too_large), {Goaway(NGHTTP2_FRAME_SIZE_ERROR)}},
      // libnghttp2 does not look at the size of a CONTINUATION, but decodes and counts its bytes as they come: these are no HPACK.
      {"4.2", "ALargerContinuationIsAnError", H(1, Echo(), 0) + C(1, too_large, kEndHeaders), {Goaway(NGHTTP2_FRAME_SIZE_ERROR), Goaway(NGHTTP2_COMPRESSION_ERROR)}},
      {"4.2", "LargerSettingsAreAnError", S(std::string(16386, 'x')), {Goaway(NGHTTP2_FRAME_SIZE_ERROR)}},
      {"4.2", "ALargerUnknownFrameIsAnError", FrameBytes(0x2a, 0, 0, too_large), {Goaway(NGHTTP2_FRAME_SIZE_ERROR)}},
      {"4.2", "TheLargestLengthIsAnErrorBeforeItsBytes", longest + Bytes1({0, 0}) + Number(1, 4), {Goaway(NGHTTP2_FRAME_SIZE_ERROR)}},
      {"4.3", "ABlockMayBeCut", H(1, Echo().substr(0, 3), 0) + C(1, Echo().substr(3, 40)) + C(1, Echo().substr(43), kEndHeaders) + D(1, Message("x"), kEndStream), {Served()}},
      {"4.3", "PartsOfABlockMayBeEmpty", H(1, "", 0) + C(1, "") + C(1, Echo()) + C(1, "", kEndHeaders) + D(1, Message("x"), kEndStream), {Served()}},
      {"4.3", "ABlockCutShortIsAnError", H(1, Echo().substr(0, Echo().size() - 3)), {Goaway(NGHTTP2_COMPRESSION_ERROR)}},
  };
}

std::vector<Case> Streams() {
  const std::string request = Request(1, "/t/Echo", "x");
  // With the first call and the one that looks whether it goes on.
  std::string almost = OpenStream(3);
  for (uint32_t i = 1; i < kMaxStreams - 2; ++i) almost += OpenStream(3 + 2 * i);
  std::string many_then_one = OpenStream(1);
  for (uint32_t i = 1; i <= kMaxStreams; ++i) many_then_one += OpenStream(1 + 2 * i);
  return {
      {"5.1", "DataOnAnIdleStreamIsAnError", D(1, "x"), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"5.1", "AResetOfAnIdleStreamIsAnError", Reset(1, NGHTTP2_CANCEL), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"5.1", "AWindowUpdateOfAnIdleStreamIsAnError", WindowUpdate(1, 1), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"5.1", "AContinuationOnAnIdleStreamIsAnError", C(1, Echo(), kEndHeaders), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"5.1", "APriorityOfAnIdleStreamIsTaken", Priority(1, 0) + request, {Served()}},
      // "open" ends with END_STREAM: half-closed (remote).
      {"5.1", "DataAfterTheEndOfAStreamIsAnError", OpenStream(1, kEndStream) + D(1, "x"), {ResetBy(NGHTTP2_STREAM_CLOSED), Goaway(NGHTTP2_STREAM_CLOSED)}},
      {"5.1", "HeadersAfterTheEndOfAStreamAreAnError", OpenStream(1, kEndStream) + H(1, Echo()), {ResetBy(NGHTTP2_STREAM_CLOSED), Goaway(NGHTTP2_STREAM_CLOSED)}},
      {"5.1", "AWindowUpdateAfterTheEndOfAStreamIsTaken", H(1, Echo()) + D(1, Message("x"), kEndStream) + WindowUpdate(1, 1), {Served()}},
      {"5.1", "APriorityAfterTheEndOfAStreamIsTaken", request + Priority(1, 0), {Served()}},
      // Closed by END_STREAM of both, or by RST_STREAM: "minimally process and then discard", or an error.
      {"5.1", "DataOnAClosedStreamIsDiscardedOrAnError", request + Reset(1, NGHTTP2_CANCEL) + D(1, "x"), {Served(), Ignored(), ResetBy(NGHTTP2_STREAM_CLOSED), Goaway(NGHTTP2_STREAM_CLOSED), Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"5.1", "HeadersOnAClosedStreamAreDiscardedOrAnError", request + Reset(1, NGHTTP2_CANCEL) + H(1, Echo(), kEndHeaders | kEndStream), {Served(), Ignored(), ResetBy(NGHTTP2_STREAM_CLOSED), Goaway(NGHTTP2_STREAM_CLOSED), Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"5.1", "AWindowUpdateOfAClosedStreamIsIgnored", OpenStream(1) + Reset(1, NGHTTP2_CANCEL) + WindowUpdate(1, 1), {Ignored()}},
      {"5.1", "AResetOfAClosedStreamIsIgnored", OpenStream(1) + Reset(1, NGHTTP2_CANCEL) + Reset(1, NGHTTP2_CANCEL), {Ignored()}},
      {"5.1.1", "EvenStreamsAreTheServers", H(2, Echo()), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      // Opening 3 has closed 1 (idle before). libnghttp2 discards them: they may be trailers that crossed a reset.
      {"5.1.1", "StreamsDoNotGoBack", Request(3, "/t/Echo", "x") + H(1, Echo()), {Ignored(), Goaway(NGHTTP2_PROTOCOL_ERROR), Goaway(NGHTTP2_STREAM_CLOSED)}},
      {"5.1.1", "StreamsMayLeaveGaps", request + Request(9999, "/t/Echo", "x"), {Served()}},
      {"5.1.2", "AsManyStreamsAsItSaidAreTaken", request + almost, {Served()}},
      {"5.1.2", "OneStreamMoreIsRefused", many_then_one, {Goaway(NGHTTP2_PROTOCOL_ERROR), Goaway(NGHTTP2_REFUSED_STREAM), ResetBy(NGHTTP2_REFUSED_STREAM)}},
      {"5.5", "AnUnknownFrameInABlockIsAnError", H(1, Echo(), 0) + FrameBytes(0x2a, 0, 0, "x"), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
  };
}

std::vector<Case> Frames() {
  const std::string request = Request(1, "/t/Echo", "x");
  const std::string message = Message("x");
  std::vector<Case> cases = {
      {"6.1", "DataOnStreamZeroIsAnError", D(0, "x"), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"6.1", "PaddingIsDropped", H(1, Echo()) + D(1, Bytes1({3}) + message + std::string(3, '\0'), kEndStream | kPadded), {Served()}},
      {"6.1", "PaddingMayBeNothing", H(1, Echo()) + D(1, Bytes1({0}) + message, kEndStream | kPadded), {Served()}},
      {"6.1", "AFrameMayBeAllPadding", H(1, Echo()) + D(1, Bytes1({3, 0, 0, 0}), kPadded) + D(1, message, kEndStream), {Served()}},
      {"6.1", "MorePaddingThanFrameIsAnError", H(1, Echo()) + D(1, Bytes1({4, 0, 0, 0}), kPadded), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"6.1", "PaddingWithoutItsLengthIsAnError", H(1, Echo()) + D(1, "", kPadded), {Goaway(NGHTTP2_PROTOCOL_ERROR), Goaway(NGHTTP2_FRAME_SIZE_ERROR)}},
      {"6.1", "EmptyDataIsTaken", H(1, Echo()) + D(1, "") + D(1, message) + D(1, "", kEndStream), {Served()}},
      {"6.2", "HeadersOnStreamZeroAreAnError", H(0, Echo()), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"6.2", "HeadersMayBePadded", H(1, Bytes1({2}) + Echo() + std::string(2, '\0'), kEndHeaders | kPadded) + D(1, message, kEndStream), {Served()}},
      {"6.2", "HeadersMayHaveAPriority", H(1, Number(0, 4) + Number(15, 1) + Echo(), kEndHeaders | kPriority) + D(1, message, kEndStream), {Served()}},
      {"6.2", "HeadersMayHaveBoth", H(1, Bytes1({2}) + Number(0x80000000, 4) + Number(15, 1) + Echo() + std::string(2, '\0'), kEndHeaders | kPadded | kPriority) + D(1, message, kEndStream), {Served()}},
      {"6.2", "MorePaddingThanHeadersIsAnError", H(1, Bytes1({200}) + std::string(100, '\0'), kEndHeaders | kPadded), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"6.2", "APriorityWithoutItsBytesIsAnError", H(1, "123", kEndHeaders | kPriority), {Goaway(NGHTTP2_FRAME_SIZE_ERROR), Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"6.2", "OtherHeadersInABlockAreAnError", H(1, Echo(), 0) + H(3, Echo()), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"6.2", "DataInABlockIsAnError", H(1, Echo(), 0) + D(1, "x"), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"6.2", "APingInABlockIsAnError", H(1, Echo(), 0) + Ping("12345678"), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"6.2", "AWindowUpdateInABlockIsAnError", H(1, Echo(), 0) + WindowUpdate(0, 1), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      // RFC 9113 has dropped priorities, and says of their frames only what follows.
      {"6.3", "APriorityOnStreamZeroIsAnError", Priority(0, 1), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"6.3", "APriorityOfAnotherSizeIsAnError", OpenStream(1) + FrameBytes(NGHTTP2_PRIORITY, 0, 1, "1234"), {ResetBy(NGHTTP2_FRAME_SIZE_ERROR), Goaway(NGHTTP2_FRAME_SIZE_ERROR)}},
      {"6.3", "APriorityBeforeOneselfIsIgnoredOrAnError", OpenStream(1) + Priority(1, 1), {Ignored(), ResetBy(NGHTTP2_PROTOCOL_ERROR), Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"6.4", "AResetOnStreamZeroIsAnError", Reset(0, NGHTTP2_CANCEL), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"6.4", "AShortResetIsAnError", OpenStream(1) + FrameBytes(NGHTTP2_RST_STREAM, 0, 1, "123"), {Goaway(NGHTTP2_FRAME_SIZE_ERROR)}},
      {"6.4", "ALongResetIsAnError", OpenStream(1) + FrameBytes(NGHTTP2_RST_STREAM, 0, 1, "12345"), {Goaway(NGHTTP2_FRAME_SIZE_ERROR)}},
      {"6.4", "AResetEndsAStream", OpenStream(1) + Reset(1, NGHTTP2_CANCEL), {Ignored()}},
      {"7", "UnknownCodesAreTaken", OpenStream(1) + Reset(1, 0xfedcba98), {Ignored()}},
      {"6.5", "SettingsOnAStreamAreAnError", OpenStream(1) + S("", 0, 1), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"6.5", "AnAckWithBytesIsAnError", S(SettingBytes(NGHTTP2_SETTINGS_ENABLE_PUSH, 0), kAck), {Goaway(NGHTTP2_FRAME_SIZE_ERROR)}},
      {"6.5", "HalfASettingIsAnError", S("12345"), {Goaway(NGHTTP2_FRAME_SIZE_ERROR)}},
      // The RFC does not say what to do with it.
      {"6.5", "AnAckThatNobodyWaitsForIsIgnoredOrAnError", S("", kAck) + S("", kAck), {Ignored(), Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"6.5.2", "UnknownSettingsAreIgnored", S(SettingBytes(0xfafa, 0xffffffff)) + request, {Served()}},
      {"6.5.2", "PushIsNoughtOrOne", S(SettingBytes(NGHTTP2_SETTINGS_ENABLE_PUSH, 0) + SettingBytes(NGHTTP2_SETTINGS_ENABLE_PUSH, 1)) + request, {Served()}},
      {"6.5.2", "PushOfTwoIsAnError", S(SettingBytes(NGHTTP2_SETTINGS_ENABLE_PUSH, 2)), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"6.5.2", "TheLargestWindowIsTaken", S(SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0x7fffffff)) + request, {Served()}},
      {"6.5.2", "ALargerWindowIsAnError", S(SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0x80000000)), {Goaway(NGHTTP2_FLOW_CONTROL_ERROR)}},
      {"6.5.2", "FrameSizesWithinBoundsAreTaken", S(SettingBytes(NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 16384) + SettingBytes(NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 0xffffff)) + request, {Served()}},
      {"6.5.2", "ASmallerFrameSizeIsAnError", S(SettingBytes(NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 16383)), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"6.5.2", "ALargerFrameSizeIsAnError", S(SettingBytes(NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 0x1000000)), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"6.5.2", "AnyTableSizeIsTaken", S(SettingBytes(NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0)) + S(SettingBytes(NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0xffffffff)) + request, {Served()}},
      {"6.5.2", "AnyNumberOfStreamsIsTaken", S(SettingBytes(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0)) + request, {Served()}},
      {"6.5.3", "TheLastOfASettingCounts", S(SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0) + SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 100)) + request, {Served()}},
      {"6.6", "ClientsDoNotPush", OpenStream(1) + FrameBytes(NGHTTP2_PUSH_PROMISE, kEndHeaders, 1, Number(2, 4) + Echo()), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"6.7", "APingOnAStreamIsAnError", OpenStream(1) + FrameBytes(NGHTTP2_PING, 0, 1, "12345678"), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"6.7", "AShortPingIsAnError", Ping("1234567"), {Goaway(NGHTTP2_FRAME_SIZE_ERROR)}},
      {"6.7", "ALongPingIsAnError", Ping("123456789"), {Goaway(NGHTTP2_FRAME_SIZE_ERROR)}},
      {"6.7", "AnAckThatNobodyWaitsForIsIgnored", FrameBytes(NGHTTP2_PING, kAck, 0, "12345678") + request, {Served()}},
      {"6.8", "AGoawayOnAStreamIsAnError", OpenStream(1) + FrameBytes(NGHTTP2_GOAWAY, 0, 1, Number(0, 8)), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"6.8", "AShortGoawayIsAnError", FrameBytes(NGHTTP2_GOAWAY, 0, 0, "1234567"), {Goaway(NGHTTP2_FRAME_SIZE_ERROR)}},
      {"6.8", "AGoawayWhenNothingRunsMayEndIt", FrameBytes(NGHTTP2_GOAWAY, 0, 0, Number(0, 8) + "bye"), {Closed(), Ignored()}},
      {"6.9", "AShortWindowUpdateIsAnError", FrameBytes(NGHTTP2_WINDOW_UPDATE, 0, 0, "123"), {Goaway(NGHTTP2_FRAME_SIZE_ERROR)}},
      {"6.9", "ALongWindowUpdateIsAnError", FrameBytes(NGHTTP2_WINDOW_UPDATE, 0, 0, "12345"), {Goaway(NGHTTP2_FRAME_SIZE_ERROR)}},
      {"6.9", "AnIncrementOfNoughtIsAnError", WindowUpdate(0, 0), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      // A stream error may be treated as one of the connection (5.4.1).
      {"6.9", "AnIncrementOfNoughtOnAStreamIsAnError", OpenStream(1) + WindowUpdate(1, 0), {ResetBy(NGHTTP2_PROTOCOL_ERROR), Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"6.9.1", "TheLargestWindowMayBeReached", WindowUpdate(0, 0x7fffffff - 65535) + OpenStream(3) + WindowUpdate(3, 0x7fffffff - 65535), {Ignored()}},
      {"6.9.1", "AWindowBeyondItIsAnError", WindowUpdate(0, 0x7fffffff - 65535 + 1), {Goaway(NGHTTP2_FLOW_CONTROL_ERROR)}},
      {"6.9.1", "AWindowOfAStreamBeyondItIsAnError", OpenStream(1) + WindowUpdate(1, 0x7fffffff - 65535 + 1), {ResetBy(NGHTTP2_FLOW_CONTROL_ERROR)}},
      {"6.9.1", "AWindowBeyondItInStepsIsAnError", OpenStream(1) + WindowUpdate(1, 0x7fffffff - 65535) + WindowUpdate(1, 1), {ResetBy(NGHTTP2_FLOW_CONTROL_ERROR)}},
      // A connection error, says the RFC; libnghttp2 resets the streams whose windows would be beyond it, and goes on.
      {"6.9.2", "SettingsThatTakeAStreamBeyondItAreAnError", OpenStream(1) + WindowUpdate(1, 0x7fffffff - 65535) + S(SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 65536)), {Goaway(NGHTTP2_FLOW_CONTROL_ERROR), ResetBy(NGHTTP2_FLOW_CONTROL_ERROR)}},
      {"6.10", "AContinuationOnStreamZeroIsAnError", C(0, Echo(), kEndHeaders), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"6.10", "AContinuationOfAnotherStreamIsAnError", H(1, Echo(), 0) + C(3, "", kEndHeaders), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"6.10", "AContinuationAfterTheEndOfABlockIsAnError", H(1, Echo()) + C(1, Echo(), kEndHeaders), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
      {"6.10", "AContinuationAfterDataIsAnError", H(1, Echo()) + D(1, "") + C(1, Echo(), kEndHeaders), {Goaway(NGHTTP2_PROTOCOL_ERROR)}},
  };
  return cases;
}

// A malformed request is a stream error of type PROTOCOL_ERROR (8.1.1).
std::vector<Case> Requests() {
  const std::vector<Outcome> malformed = {ResetBy(NGHTTP2_PROTOCOL_ERROR)};
  const std::string message = Message("x");
  std::vector<Case> cases = {
      {"8.1", "TrailersMayEndARequest", H(1, Echo()) + D(1, message) + H(1, HeaderBlock({{"x-after", "1"}}), kEndHeaders | kEndStream), {Served()}},
      {"8.1", "HeadersThatDoNotEndARequestAreMalformed", H(1, Echo()) + D(1, message) + H(1, HeaderBlock({{"x-after", "1"}})), malformed},
      {"8.1", "TrailersHaveNoPseudoFields", H(1, Echo()) + D(1, message) + H(1, HeaderBlock({{":path", "/"}}), kEndHeaders | kEndStream), malformed},
      {"8.1.1", "TheContentLengthMayBeTrue", CallWithMore({{"content-length", "6"}}), {Served()}},
      {"8.1.1", "LessThanTheContentLengthIsMalformed", CallWithMore({{"content-length", "7"}}), malformed},
      {"8.1.1", "MoreThanTheContentLengthIsMalformed", CallWithMore({{"content-length", "5"}}), malformed},
      {"8.1.1", "NothingIsLessToo", H(1, Echo({{"content-length", "5"}}), kEndHeaders | kEndStream), malformed},
      {"8.1.1", "TwoContentLengthsAreMalformed", CallWithMore({{"content-length", "6"}, {"content-length", "5"}}), malformed},
      {"8.1.1", "AContentLengthIsANumber", CallWithMore({{"content-length", "six"}}), malformed},
      {"8.1.1", "AContentLengthHasNoSign", CallWithMore({{"content-length", "-6"}}), malformed},
      {"8.1.1", "AContentLengthFitsIntoANumber", CallWithMore({{"content-length", "99999999999999999999"}}), malformed},
      {"8.2", "NamesAreLowerCase", CallWithMore({{"X-Upper", "1"}}), malformed},
      {"8.2.1", "NamesHaveNoSpaces", CallWithMore({{"x y", "1"}}), malformed},
      {"8.2.1", "NamesHaveNoColons", CallWithMore({{"x:y", "1"}}), malformed},
      {"8.2.1", "NamesHaveNoControls", CallWithMore({{std::string("x\x01y"), "1"}}), malformed},
      {"8.2.1", "NamesAreAscii", CallWithMore({{"x\xc3\xa9", "1"}}), malformed},
      {"8.2.1", "NamesAreNotEmpty", CallWithMore({{"", "1"}}), malformed},
      {"8.2.1", "ValuesHaveNoNul", CallWithMore({{"x", std::string("a\0b", 3)}}), malformed},
      {"8.2.1", "ValuesHaveNoLineFeed", CallWithMore({{"x", "a\nb"}}), malformed},
      {"8.2.1", "ValuesHaveNoCarriageReturn", CallWithMore({{"x", "a\rb"}}), malformed},
      {"8.2.1", "ValuesDoNotBeginWithSpace", CallWithMore({{"x", " a"}}), malformed},
      {"8.2.1", "ValuesDoNotEndWithTab", CallWithMore({{"x", "a\t"}}), malformed},
      {"8.2.1", "ValuesMayBeEmpty", CallWithMore({{"x", ""}}), {Served()}},
      {"8.2.2", "NoConnection", CallWithMore({{"connection", "close"}}), malformed},
      {"8.2.2", "NoKeepAlive", CallWithMore({{"keep-alive", "5"}}), malformed},
      {"8.2.2", "NoProxyConnection", CallWithMore({{"proxy-connection", "close"}}), malformed},
      {"8.2.2", "NoTransferEncoding", CallWithMore({{"transfer-encoding", "chunked"}}), malformed},
      {"8.2.2", "NoUpgrade", CallWithMore({{"upgrade", "h2c"}}), malformed},
      {"8.2.2", "TeIsTrailersOnly", CallWith(With("te", "gzip")), malformed},
      {"8.2.3", "CookiesMayBeCut", CallWithMore({{"cookie", "a=b"}, {"cookie", "c=d"}}), {Served()}},
      {"8.3", "NoUnknownPseudoFields", H(1, HeaderBlock({{":other", "1"}}) + Echo()) + D(1, message, kEndStream), malformed},
      {"8.3", "NoPseudoFieldsOfResponses", H(1, HeaderBlock({{":status", "200"}}) + Echo()) + D(1, message, kEndStream), malformed},
      {"8.3", "PseudoFieldsComeFirst", H(1, HeaderBlock({{"x", "1"}}) + Echo()) + D(1, message, kEndStream), malformed},
      {"8.3", "PseudoFieldsComeOnce", H(1, HeaderBlock({{":path", "/t/Echo"}}) + Echo()) + D(1, message, kEndStream), malformed},
      {"8.3.1", "NoRequestWithoutMethod", CallWith(Without(":method")), malformed},
      {"8.3.1", "NoRequestWithoutScheme", CallWith(Without(":scheme")), malformed},
      {"8.3.1", "NoRequestWithoutPath", CallWith(Without(":path")), malformed},
      {"8.3.1", "NoRequestWithAnEmptyPath", CallWith(With(":path", "")), malformed},
      {"8.3.1", "PathsBeginWithASlash", CallWith(With(":path", "t/Echo")), malformed},
      {"8.3.1", "AStarIsForOptionsOnly", CallWith(With(":path", "*")), malformed},
      {"8.3.1", "NoRequestWithoutAuthority", CallWith(Without(":authority")), malformed},
      {"8.3.1", "TheAuthorityMayBeTheHost", H(1, HeaderBlock(Without(":authority")) + HeaderBlock({{"host", "t"}})) + D(1, message, kEndStream), {Served()}},
      {"8.5", "AConnectHasNoPath", CallWith(With(":method", "CONNECT")), malformed},
      // The limits are the server's to choose; a request beyond them is refused, not the connection.
      {"10.5.1", "TooManyHeadersAreRefused", H(1, Echo({{"x", std::string(12000, 'x')}}), 0) + C(1, HeaderBlock({{"y", std::string(12000, 'y')}}), kEndHeaders) + D(1, message, kEndStream), {Served(8)}},
  };
  return cases;
}

std::vector<Case> Hpack() {
  const std::vector<Outcome> error = {Goaway(NGHTTP2_COMPRESSION_ERROR)};
  // ":method: POST", ":scheme: http" by the static table; the others by its names.
  const std::string indexed = Bytes1({0x83, 0x86, 0x01, 1}) + "t" + Bytes1({0x04, 7}) + "/t/Echo" + Bytes1({0x0f, 0x10, 16}) + "application/grpc";
  const std::string kept = Bytes1({0x83, 0x86, 0x01, 1}) + "t" + Bytes1({0x44, 7}) + "/t/Echo" + Bytes1({0x5f, 16}) + "application/grpc";
  // Huffman: "/t/Echo" is not needed; 'a' is 00011, 'o' 00111.
  const std::string more = Bytes1({0x00, 1}) + "x";
  return {
      {"7541.2.3", "TheStaticTableIsKnown", CallWithBlock(indexed), {Served()}},
      {"7541.2.3", "WhatWasKeptIsFoundAgain", H(1, kept) + D(1, Message("x"), kEndStream) + H(3, Bytes1({0x83, 0x86, 0x01, 1}) + "t" + Bytes1({0xbf, 0xbe})) + D(3, Message("x"), kEndStream), {Served()}},
      {"7541.2.3.3", "AnIndexBeyondTheTablesIsAnError", CallWithBlock(indexed + Bytes1({0xbe})), error},
      {"7541.2.3.3", "ANameBeyondTheTablesIsAnError", CallWithBlock(indexed + Bytes1({0x7f, 0x7f, 1}) + "x"), error},
      {"7541.4.2", "TheTableMayShrinkAndGrow", CallWithBlock(Bytes1({0x20, 0x3f, 0xe1, 0x1f}) + indexed), {Served()}},
      {"7541.4.2", "TheTableDoesNotGrowBeyondItsLimit", CallWithBlock(Bytes1({0x3f, 0xe2, 0x1f}) + indexed), error},
      {"7541.4.2", "TheSizeChangesAtTheBeginningOnly", CallWithBlock(indexed + Bytes1({0x20})), error},
      {"7541.4.4", "AnEntryLargerThanTheTableEmptiesIt", H(1, Echo() + Bytes1({0x40, 1}) + "x" + Bytes1({0x7f, 0x81, 0x27}) + std::string(5120, 'v')) + D(1, Message("x"), kEndStream), {Served()}},
      {"7541.4.4", "AndThenNothingIsThere", H(1, Echo() + Bytes1({0x40, 1}) + "x" + Bytes1({0x7f, 0x81, 0x27}) + std::string(5120, 'v') + Bytes1({0xbe})) + D(1, Message("x"), kEndStream), error},
      {"7541.5.1", "NumbersOfManyBytesAreAnError", CallWithBlock(indexed + Bytes1({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})), error},
      {"7541.5.1", "NumbersMayHaveIdleBytes", CallWithBlock(indexed + Bytes1({0x00, 1}) + "x" + Bytes1({0x7f, 0x80, 0x00}) + std::string(127, 'v')), {Served()}},
      {"7541.5.2", "ATextBeyondTheBlockIsAnError", CallWithBlock(indexed + more + Bytes1({10}) + "short"), error},
      {"7541.5.2", "AHugeTextIsAnError", CallWithBlock(indexed + more + Bytes1({0x7f, 0xff, 0xff, 0xff, 0x7f})), error},
      {"7541.5.2", "HuffmanIsKnown", CallWithBlock(indexed + more + Bytes1({0x81, 0x1f})), {Served()}},  // "a", padded by ones.
      {"7541.5.2", "PaddingThatIsNoOnesIsAnError", CallWithBlock(indexed + more + Bytes1({0x81, 0x18})), error},
      {"7541.5.2", "PaddingOfAByteIsAnError", CallWithBlock(indexed + more + Bytes1({0x82, 0x1f, 0xff})), error},
      {"7541.5.2", "TheEndOfStringSymbolIsAnError", CallWithBlock(indexed + more + Bytes1({0x84, 0xff, 0xff, 0xff, 0xff})), error},
      {"7541.6.1", "IndexZeroIsAnError", CallWithBlock(indexed + Bytes1({0x80})), error},
      {"7541.6.2.2", "LiteralsWithoutIndexingAreNotKept", H(3, indexed) + D(3, Message("x"), kEndStream) + H(5, indexed + Bytes1({0xbe})), error},
      {"7541.6.2.3", "LiteralsThatAreNeverIndexedAreTaken", CallWithBlock(indexed + Bytes1({0x10, 1}) + "x" + Bytes1({1}) + "v"), {Served()}},
  };
}

// clang-format on

std::vector<Case> AllCases() {
  std::vector<Case> all;
  for (auto make : {Preface, FrameFormat, Streams, Frames, Requests, Hpack}) {
    for (Case& made : make()) all.push_back(std::move(made));
  }
  return all;
}

class Rfc9113Test : public testing::TestWithParam<Case> {
 protected:
  static void SetUpTestSuite() {
    served_ = new edge::Served;
    PortLimits limits;
    limits.max_streams_per_connection = kMaxStreams;
    server_ = ServeH2({.address = "127.0.0.1:0", .limits = limits}, served_->Table())->release();
  }
  static void TearDownTestSuite() {
    delete server_;
    delete served_;
  }

  static edge::Served* served_;
  static Server* server_;
};

edge::Served* Rfc9113Test::served_ = nullptr;
Server* Rfc9113Test::server_ = nullptr;

TEST_P(Rfc9113Test, Answers) {
  const Case& tested = GetParam();
  FrameClient client(server_->address());
  if (!tested.is_raw) {
    client.Begin();
    client.Settle();  // The server has our acknowledgement of its settings.
  }
  client.Write(tested.bytes);
  const bool ends = std::all_of(tested.outcomes.begin(), tested.outcomes.end(), [](const Outcome& outcome) {
    return outcome.kind == Outcome::kGoaway || outcome.kind == Outcome::kClosed;
  });
  // Where an end is expected, nothing may help it along: a ping within a header block would.
  ends ? (void)client.ReadToEnd() : client.Settle();

  std::vector<Outcome> seen;
  if (client.goaway() && *client.goaway() != NGHTTP2_NO_ERROR) {
    EXPECT_TRUE(client.ReadToEnd()) << "a connection with an error goes on";
    seen = {Goaway(*client.goaway()), Closed()};
  } else if (client.is_closed()) {
    seen = {Closed()};
  } else {
    EXPECT_EQ(client.Echo("/t/Echo", "still there"), "still there");
    const Answer& answer = client.answer(1);
    const std::string status = answer.Header("grpc-status");
    if (!status.empty()) {
      seen = {Served(static_cast<uint32_t>(std::stoi(status)))};
    } else if (answer.reset) {
      seen = {ResetBy(*answer.reset)};
    } else {
      seen = {Ignored()};
    }
  }
  EXPECT_THAT(tested.outcomes, testing::Contains(testing::AnyOfArray(seen)));
}

INSTANTIATE_TEST_SUITE_P(Cases, Rfc9113Test, testing::ValuesIn(AllCases()), [](const auto& info) {
  return absl::StrCat("S", absl::StrReplaceAll(info.param.section, {{".", "_"}}), "_", info.param.name);
});

// --- What takes more than one step ---

class Rfc9113StoryTest : public testing::Test {
 protected:
  Rfc9113StoryTest() : server_(*ServeH2({.address = "127.0.0.1:0"}, served_.Table())), client_(server_->address()) {}

  edge::Served served_;
  const std::unique_ptr<Server> server_;
  FrameClient client_;
};

TEST_F(Rfc9113StoryTest, S3_4_ThePrefaceMayComeByteByByte) {
  for (const char byte : kFirst + Request(1, "/t/Echo", "x")) ASSERT_TRUE(client_.Write(absl::string_view(&byte, 1)));
  EXPECT_EQ(client_.Await(1).Header("grpc-status"), "0");
}

TEST_F(Rfc9113StoryTest, S3_4_TheServersFirstFrameIsItsSettings) {
  client_.Begin();
  ASSERT_FALSE(client_.frames().empty());
  EXPECT_EQ(client_.frames()[0].type, NGHTTP2_SETTINGS);
  EXPECT_EQ(client_.frames()[0].flags, 0);
  EXPECT_EQ(client_.setting(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS), 1000);
  EXPECT_EQ(client_.setting(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE), 16384);
  // A message of 4 MiB passes at speed.
  EXPECT_EQ(client_.setting(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE), 1 << 20);
  ASSERT_TRUE(client_.ReadUntil([&] { return client_.frames().back().type == NGHTTP2_WINDOW_UPDATE; }));
  EXPECT_EQ(client_.frames().back().stream, 0);
  EXPECT_EQ(client_.frames().back().payload, std::string("\x00\x7f\x00\x01", 4)) << "8 MiB with the first 65,535";
}

TEST_F(Rfc9113StoryTest, S4_2_FramesAreNoLargerThanThePeerTakes) {
  client_.Begin();
  std::string bytes = H(1, Echo());
  const std::string message = Message(std::string(100000, 'x'));
  for (size_t at = 0; at < message.size(); at += 16384) bytes += D(1, message.substr(at, 16384));
  client_.Write(bytes + D(1, "", kEndStream));
  EXPECT_EQ(client_.Await(1).body.size(), message.size());
  for (const Frame& frame : client_.frames()) EXPECT_LE(frame.payload.size(), 16384);
}

TEST_F(Rfc9113StoryTest, S6_5_3_EverySettingsIsAcknowledged) {
  client_.Begin();
  for (int i = 0; i < 5; ++i) client_.Write(S(SettingBytes(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, i)));
  client_.Settle();
  EXPECT_EQ(client_.setting_acks(), 6);
}

TEST_F(Rfc9113StoryTest, S6_7_APingComesBackAsItIs) {
  client_.Begin();
  client_.Write(
      Ping("\x01\xff"
           "abcdef"));
  ASSERT_TRUE(client_.ReadUntil([&] { return client_.acks() == 1; }));
  EXPECT_EQ(client_.frames().back().payload,
            "\x01\xff"
            "abcdef");
}

TEST_F(Rfc9113StoryTest, S6_8_AGoawayOfThePeerLetsRunningCallsEnd) {
  client_.Begin();
  client_.Write(H(1, HeaderBlock(RequestHeaders("/t/EchoStream"))));
  client_.Settle();
  client_.Write(FrameBytes(NGHTTP2_GOAWAY, 0, 0, Number(0, 8)));
  client_.Settle();
  client_.Write(D(1, Message("still"), kEndStream));
  EXPECT_EQ(client_.Await(1).body, Message("still"));
  EXPECT_TRUE(client_.ReadToEnd());
}

TEST_F(Rfc9113StoryTest, S6_9_1_NothingIsSentBeyondAWindow) {
  client_.set_opens_windows(false);
  client_.Begin(SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0));
  client_.Write(Request(1, "/t/Echo", "0123456789"));
  client_.Settle();
  EXPECT_EQ(client_.answer(1).Header(":status"), "200");
  EXPECT_EQ(client_.answer(1).body, "");
  std::string expected = Message("0123456789");
  for (size_t i = 1; i <= expected.size(); ++i) {
    client_.Write(WindowUpdate(1, 1));
    ASSERT_TRUE(client_.ReadUntil([&] { return client_.answer(1).body.size() >= i; }));
    EXPECT_EQ(client_.answer(1).body, expected.substr(0, i));
  }
  EXPECT_TRUE(client_.Await(1).has_ended);
}

TEST_F(Rfc9113StoryTest, S6_9_1_NothingIsSentBeyondTheConnectionsWindow) {
  client_.set_opens_windows(false);
  client_.Begin(SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20));
  std::string bytes;
  for (uint32_t stream = 1; stream < 20; stream += 2) {
    bytes += H(stream, Echo()) + D(stream, Message(std::string(10000, 'x')), kEndStream);
  }
  client_.Write(bytes);
  client_.Settle();
  size_t came = 0;
  for (const auto& [stream, answer] : client_.answers()) came += answer.body.size();
  EXPECT_EQ(came, 65535);
  client_.Write(WindowUpdate(0, 1 << 20));
  for (uint32_t stream = 1; stream < 20; stream += 2) EXPECT_EQ(client_.Await(stream).body.size(), 10005);
}

TEST_F(Rfc9113StoryTest, S6_9_2_AWindowMayBecomeNegative) {
  client_.set_opens_windows(false);
  client_.Begin(SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 100));
  client_.Write(H(1, Echo()) + D(1, Message(std::string(200, 'x')), kEndStream));
  client_.Settle();
  EXPECT_EQ(client_.answer(1).body.size(), 100);
  client_.Write(S(SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 20)));  // Now -80.
  client_.Write(WindowUpdate(1, 80));
  client_.Settle();
  EXPECT_EQ(client_.answer(1).body.size(), 100);
  client_.Write(WindowUpdate(1, 1));
  client_.Settle();
  EXPECT_EQ(client_.answer(1).body.size(), 101);
  client_.Write(S(SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1000)));
  EXPECT_EQ(client_.Await(1).body.size(), 205);
}

TEST_F(Rfc9113StoryTest, S8_1_AnAnswerBeforeTheEndOfTheRequestAsksForNoMore) {
  client_.Begin();
  client_.Write(H(1, HeaderBlock(RequestHeaders("/t/Other"))) + D(1, Message("more to come")));
  const Answer& answer = client_.Await(1);
  EXPECT_EQ(answer.Header("grpc-status"), "12");
  ASSERT_TRUE(client_.ReadUntil([&] { return answer.reset.has_value(); }));
  EXPECT_EQ(*answer.reset, NGHTTP2_NO_ERROR);
  EXPECT_EQ(client_.Echo("/t/Echo", "next"), "next");
}

// --- What gRPC asks of a server (gRPC over HTTP/2) ---

struct GrpcCase {
  const char* name;
  Headers headers;
  const char* http_status;
  const char* grpc_status;
};

TEST_F(Rfc9113StoryTest, Grpc_RefusesWhatIsNoCall) {
  client_.Begin();
  const std::vector<GrpcCase> cases = {
      {"GET", With(":method", "GET"), "405", "13"},
      {"OPTIONS", With(":method", "OPTIONS"), "405", "13"},
      {"no content type", Without("content-type"), "415", "13"},
      {"JSON", With("content-type", "application/json"), "415", "13"},
      {"with a suffix", With("content-type", "application/grpc+proto"), "200", "0"},
      {"with parameters", With("content-type", "application/grpc;charset=utf-8"), "200", "0"},
      {"with a space before them", With("content-type", "application/grpc ;charset=utf-8"), "200", "0"},
      {"gRPC-Web", With("content-type", "application/grpc-web+proto"), "415", "13"},
      {"what only begins so", With("content-type", "application/grpcfoo"), "415", "13"},
      {"unknown method", With(":path", "/t/Nothing"), "200", "12"},
      {"no timeout", RequestHeaders("/t/Echo", {{"grpc-timeout", "soon"}}), "200", "13"},
      {"a long timeout", RequestHeaders("/t/Echo", {{"grpc-timeout", "99999999H"}}), "200", "0"},
      {"identity", RequestHeaders("/t/Echo", {{"grpc-encoding", "identity"}}), "200", "0"},
      {"gzip", RequestHeaders("/t/Echo", {{"grpc-encoding", "gzip"}}), "200", "12"},
      {"no base64", RequestHeaders("/t/Echo", {{"x-bin", "@"}}), "200", "13"},
      {"base64", RequestHeaders("/t/Echo", {{"x-bin", "AAE"}}), "200", "0"},
      {"several values in base64", RequestHeaders("/t/Echo", {{"x-bin", "AAE,AA==, AQ"}}), "200", "0"},
      {"one of several is no base64", RequestHeaders("/t/Echo", {{"x-bin", "AAE,@"}}), "200", "13"},
  };
  uint32_t stream = 1;
  for (const GrpcCase& tested : cases) {
    client_.Write(H(stream, HeaderBlock(tested.headers)) + D(stream, Message("x"), kEndStream));
    const Answer& answer = client_.Await(stream);
    EXPECT_EQ(answer.Header(":status"), tested.http_status) << tested.name;
    EXPECT_EQ(answer.Header("grpc-status"), tested.grpc_status) << tested.name;
    if (answer.Header("grpc-status") == "12") {
      EXPECT_EQ(answer.Header("grpc-accept-encoding"), "identity") << tested.name;
    }
    stream += 2;
  }
}

TEST_F(Rfc9113StoryTest, Grpc_AUnaryCallHasOneMessage) {
  client_.Begin();
  std::string compressed = Message("x");
  compressed[0] = 1;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "13"},
      {Message("x") + Message("y"), "13"},
      {Message("x").substr(0, 3), "13"},
      {Message("xyz").substr(0, 7), "13"},
      {Message("x") + std::string(1, '\0'), "13"},
      {compressed, "13"},
      {Number(0, 1) + Number((20 << 20) + 1, 4), "8"},
      {Number(0, 1) + Number(0xffffffff, 4), "8"},
      {Message(""), "0"},
  };
  uint32_t stream = 1;
  for (const auto& [body, status] : cases) {
    client_.Write(H(stream, Echo()) + D(stream, body, kEndStream));
    EXPECT_EQ(client_.Await(stream).Header("grpc-status"), status) << "case " << stream / 2;
    stream += 2;
  }
}

}  // namespace
}  // namespace barid::edge::h2
