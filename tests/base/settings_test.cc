#include "base/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/settings_file.h"
#include "base/simulated/disk.h"
#include "tests/base/status_matchers.h"

namespace barid {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

enum class Store { kMemory, kLevelDb };

struct Options {
  bool verbose = true;
  int32_t threads = 0;
  int64_t segment_bytes = 0;
  uint64_t seed = 0;
  double ratio = 0;
  std::string cluster;
  std::string format;
  absl::Duration retention;
  std::vector<std::string> brokers;
  Store store = Store::kLevelDb;
};

class SettingsTest : public testing::Test {
 protected:
  SettingsTest() { Declare(&table_, &options_); }

  static void Declare(SettingsTable* table, Options* options) {
    table->Add("verbose", &options->verbose, Default(false), kReloadable, "Says more.");
    table->Add("threads", &options->threads, Default(2), Between(1, 64), kNeedsRestart, "Threads | cores.");
    table->Add("storage.segment_bytes", &options->segment_bytes, Default(1 * kGiB), Between(16 * kMiB, 4 * kGiB),
               kNeedsRestart, "Size of one commit-log file.");
    table->Add("seed", &options->seed, Default(0), kNeedsRestart, "Where randomness starts.");
    table->Add("ratio", &options->ratio, Default(0.5), Between(0, 1), kReloadable, "A share.");
    table->Add("cluster", &options->cluster, Default("barid"), kNeedsRestart, "The cluster's name.");
    table->Add("log.format", &options->format, Default("text"), OneOf({"text", "json"}), kNeedsRestart,
               "Of log lines.");
    table->Add("storage.retention", &options->retention, Default(absl::Hours(72)), AtLeast(absl::Minutes(1)),
               kReloadable, "How long messages stay.");
    table->Add("brokers", &options->brokers, Default(std::vector<std::string>{"a:1"}), kNeedsRestart, "Addresses.");
    table->Add("store", &options->store, Default(Store::kMemory),
               OneOf<Store>({{"memory", Store::kMemory}, {"leveldb", Store::kLevelDb}}), kNeedsRestart, "Where.");
  }

  absl::Status Set(const std::string& name, const std::string& text) { return table_.Set({name, text, "here"}); }
  absl::Status Flags(std::vector<std::string> args) { return Load(std::move(args), {}); }
  absl::Status Load(std::vector<std::string> args, std::vector<std::string> environment) {
    absl::StatusOr<CommandLine> line = LoadSettings(&table_, &disk_, args, environment);
    if (line.ok()) line_ = *line;
    return line.status();
  }
  absl::Status File(absl::string_view yaml) {
    EXPECT_THAT(WriteFileDurably(&disk_, "/b.yaml", yaml), IsOk());
    return Flags({"--config", "/b.yaml"});
  }

  SimulatedDisk disk_{1};
  Options options_;
  SettingsTable table_;
  CommandLine line_;
};

TEST_F(SettingsTest, AValueThatIsNotAllowedNamesKeySourceAndWhatIs) {
  EXPECT_THAT(Set("threads", "65"), StatusIs(StatusCode::kInvalidArgument,
                                             "threads (here): found \"65\", allowed is a whole number, from 1 to 64"));
  EXPECT_EQ(options_.threads, 2);
}

TEST_F(SettingsTest, WrongTypesAreRefused) {
  const std::pair<const char*, const char*> bad[] = {
      {"verbose", "yes"},
      {"verbose", ""},
      {"threads", "two"},
      {"threads", "2.5"},
      {"threads", ""},
      {"threads", "99999999999"},
      {"seed", "-1"},
      {"ratio", "nan"},
      {"ratio", "1.5"},
      {"log.format", "xml"},
      {"store", "etcd"},
      {"storage.retention", "72"},
      {"storage.retention", "-3d"},
      {"storage.retention", "d"},
      {"storage.retention", "1d-2h"},
      {"storage.retention", "30s"},
      {"storage.segment_bytes", "256MB"},
      {"storage.segment_bytes", "MiB"},
      {"storage.segment_bytes", "1.5GiB"},
      {"storage.segment_bytes", "-1GiB"},
      {"storage.segment_bytes", "1MiB"},
      {"storage.segment_bytes", "99999999999PiB"},
  };
  for (const auto& [name, text] : bad) {
    EXPECT_THAT(Set(name, text), StatusIs(StatusCode::kInvalidArgument, HasSubstr(name))) << text;
  }
  EXPECT_THAT(ChangedSettings(table_, table_), IsEmpty());
  EXPECT_EQ(options_.segment_bytes, kGiB);
}

TEST_F(SettingsTest, AnUnknownNameSuggestsTheNearest) {
  EXPECT_THAT(Set("thread", "1"),
              StatusIs(StatusCode::kInvalidArgument, "thread (here): there is no such setting; did you mean threads?"));
  EXPECT_THAT(Set("segment_bytes", "1"), StatusIs(StatusCode::kInvalidArgument, HasSubstr("storage.segment_bytes?")));
  EXPECT_THAT(Set("zzzzzzzzzz", "1"), StatusIs(StatusCode::kInvalidArgument, HasSubstr("--help")));
}

TEST_F(SettingsTest, UnknownFlagsAreRefusedByName) {
  EXPECT_THAT(Flags({"--storage.segmnt-bytes=1GiB"}),
              StatusIs(StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("--storage.segmnt-bytes"), HasSubstr("did you mean storage.segment_bytes?"))));
  EXPECT_THAT(Flags({"-x"}), StatusIs(StatusCode::kInvalidArgument, HasSubstr("two dashes")));
}

TEST_F(SettingsTest, AFlagAtTheEndNeedsItsValue) {
  EXPECT_THAT(Flags({"--threads"}), StatusIs(StatusCode::kInvalidArgument,
                                             AllOf(HasSubstr("--threads needs a value"), HasSubstr("from 1 to 64"))));
  EXPECT_THAT(Flags({"--config"}), StatusIs(StatusCode::kInvalidArgument, HasSubstr("path")));
}

TEST_F(SettingsTest, AValueOutOfBoundsNamesTheFlag) {
  EXPECT_THAT(Flags({"--threads=0"}), StatusIs(StatusCode::kInvalidArgument, HasSubstr("threads (--threads)")));
}

TEST_F(SettingsTest, UnknownVariablesAreRefusedByName) {
  EXPECT_THAT(Load({}, {"BARID_STORAGE_SEGMENT_BITES=1GiB"}),
              StatusIs(StatusCode::kInvalidArgument, AllOf(HasSubstr("BARID_STORAGE_SEGMENT_BITES"),
                                                           HasSubstr("did you mean storage.segment_bytes?"))));
  EXPECT_THAT(Load({}, {"BARID_THREADS=0"}),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("threads (BARID_THREADS)")));
}

TEST_F(SettingsTest, VariablesThatKubernetesMakesAreIgnored) {
  EXPECT_THAT(Load({}, {"BARID_BROKER_SERVICE_HOST=10.0.0.1", "BARID_BROKER_SERVICE_PORT_GRPC=8081",
                        "BARID_BROKER_PORT=tcp://10.0.0.1:8081", "BARID_BROKER_PORT_8081_TCP=tcp://10.0.0.1:8081",
                        "BARID_BROKER_PORT_8081_TCP_ADDR=10.0.0.1", "BARID_BROKER_PORT_8081_TCP_PROTO=tcp", "HOME=/"}),
              IsOk());
}

TEST_F(SettingsTest, AMissingFileIsAnError) {
  EXPECT_THAT(Flags({"--config=/none.yaml"}), StatusIs(StatusCode::kNotFound, HasSubstr("/none.yaml")));
  EXPECT_THAT(Load({}, {"BARID_CONFIG=/none.yaml"}), StatusIs(StatusCode::kNotFound, HasSubstr("/none.yaml")));
}

TEST_F(SettingsTest, ErrorsInTheFileNameItsLine) {
  EXPECT_THAT(File("verbose: true\nstorage:\n  segment_bytes: 1\n"),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("storage.segment_bytes (/b.yaml:3): found \"1\"")));
  EXPECT_THAT(File("\nstorag:\n  segment_bytes: 1GiB\n"),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("storag.segment_bytes (/b.yaml:3): there is no such")));
  EXPECT_THAT(File("threads: [1\n"), StatusIs(StatusCode::kInvalidArgument, HasSubstr("/b.yaml:2: not YAML")));
  EXPECT_THAT(File("just text\n"), StatusIs(StatusCode::kInvalidArgument, HasSubstr("/b.yaml:1")));
  EXPECT_THAT(File("- 1\n"), StatusIs(StatusCode::kInvalidArgument, HasSubstr("/b.yaml:1")));
  EXPECT_THAT(File("cluster:\n"), StatusIs(StatusCode::kInvalidArgument, HasSubstr("cluster has no value")));
  EXPECT_THAT(File("threads: 1\nthreads: 2\n"), StatusIs(StatusCode::kInvalidArgument, HasSubstr("line 1")));
  EXPECT_THAT(File("storage.retention: 5d\nstorage:\n  retention: 6d\n"),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("line 1")));
  EXPECT_THAT(File("brokers: [[a]]\n"), StatusIs(StatusCode::kInvalidArgument, HasSubstr("list of words")));
  EXPECT_THAT(File("brokers: [\"a,b\"]\n"), StatusIs(StatusCode::kInvalidArgument, HasSubstr("comma")));
}

TEST_F(SettingsTest, AnEmptyFileSetsNothing) { EXPECT_THAT(File("# nothing\n"), IsOk()); }

TEST_F(SettingsTest, FieldsStartWithTheirDefaults) {
  EXPECT_FALSE(options_.verbose);
  EXPECT_EQ(options_.segment_bytes, int64_t{1} << 30);
  EXPECT_EQ(options_.retention, absl::Hours(72));
  EXPECT_EQ(options_.store, Store::kMemory);
  EXPECT_THAT(options_.brokers, ElementsAre("a:1"));
}

TEST_F(SettingsTest, EveryTypeIsReadFromTheFile) {
  ASSERT_THAT(File("verbose: true\n"
                   "threads: 3\n"
                   "storage:\n"
                   "  segment_bytes: 256MiB\n"
                   "  retention: 3d\n"
                   "seed: 18446744073709551615\n"
                   "ratio: 0.25\n"
                   "cluster: \"\"\n"
                   "log.format: json\n"
                   "brokers:\n  - b:1\n  - c:2\n"
                   "store: leveldb\n"),
              IsOk());
  EXPECT_TRUE(options_.verbose);
  EXPECT_EQ(options_.threads, 3);
  EXPECT_EQ(options_.segment_bytes, 256 * kMiB);
  EXPECT_EQ(options_.retention, absl::Hours(72));
  EXPECT_EQ(options_.seed, ~uint64_t{0});
  EXPECT_EQ(options_.ratio, 0.25);
  EXPECT_EQ(options_.cluster, "");
  EXPECT_EQ(options_.format, "json");
  EXPECT_THAT(options_.brokers, ElementsAre("b:1", "c:2"));
  EXPECT_EQ(options_.store, Store::kLevelDb);
}

TEST_F(SettingsTest, FlagsGoBeforeTheEnvironmentAndThatBeforeTheFile) {
  ASSERT_THAT(WriteFileDurably(&disk_, "/b.yaml", "threads: 3\nseed: 3\ncluster: file\n"), IsOk());
  ASSERT_THAT(Load({"--threads", "5"}, {"BARID_CONFIG=/b.yaml", "BARID_THREADS=4", "BARID_SEED=4"}), IsOk());
  EXPECT_EQ(options_.threads, 5);
  EXPECT_EQ(options_.seed, 4u);
  EXPECT_EQ(options_.cluster, "file");
}

TEST_F(SettingsTest, FlagsAreSpeltInSeveralWays) {
  ASSERT_THAT(Flags({"start", "--storage.segment-bytes=32MiB", "--storage.retention", "1d12h", "--verbose", "now"}),
              IsOk());
  EXPECT_EQ(options_.segment_bytes, 32 * kMiB);
  EXPECT_EQ(options_.retention, absl::Hours(36));
  EXPECT_TRUE(options_.verbose);
  EXPECT_THAT(line_.positional, ElementsAre("start", "now"));
  ASSERT_THAT(Flags({"--storage.segment_bytes", "64Mi", "--verbose=false", "--cluster=", "--", "--threads"}), IsOk());
  EXPECT_EQ(options_.segment_bytes, 64 * kMiB);
  EXPECT_FALSE(options_.verbose);
  EXPECT_EQ(options_.cluster, "");
  EXPECT_THAT(line_.positional, ElementsAre("--threads"));
}

TEST_F(SettingsTest, HelpIsAnsweredWithoutAFile) {
  ASSERT_THAT(Flags({"--help", "--config=/none"}), IsOk());
  EXPECT_TRUE(line_.wants_help);
  ASSERT_THAT(Flags({"--print-settings"}), IsOk());
  EXPECT_TRUE(line_.wants_settings);
  ASSERT_THAT(Flags({"--print-metrics"}), IsOk());
  EXPECT_TRUE(line_.wants_metrics);
}

TEST_F(SettingsTest, PrintsTheDocsPage) {
  EXPECT_THAT(
      table_.PrintMarkdown(),
      AllOf(HasSubstr("| `storage.segment_bytes` | `1GiB` | a size (4096, 4k, 256MiB), from 16MiB to 4GiB | "
                      "at start | Size of one commit-log file. |\n"),
            HasSubstr("| `storage.retention` | `72h` | a duration (5s, 1m30s, 72h, 3d), at least 1m | on reload"),
            HasSubstr("| `log.format` | `text` | one of text, json |"), HasSubstr("Threads \\| cores.")));
  EXPECT_THAT(table_.Help(), AllOf(HasSubstr("  --storage.segment-bytes=1GiB\n      Size of one commit-log file.\n"),
                                   HasSubstr("from 1 to 64")));
}

TEST_F(SettingsTest, AReloadSeesWhatChanged) {
  Options fresh_options;
  SettingsTable fresh;
  Declare(&fresh, &fresh_options);
  ASSERT_THAT(fresh.Set({"threads", "9", "here"}), IsOk());
  ASSERT_THAT(fresh.Set({"ratio", "0.75", "here"}), IsOk());
  const std::vector<const SettingsTable::Row*> changed = ChangedSettings(table_, fresh);
  ASSERT_EQ(changed.size(), 2u);
  EXPECT_EQ(changed[0]->name, "threads");
  EXPECT_EQ(changed[0]->reload, kNeedsRestart);
  EXPECT_EQ(changed[1]->name, "ratio");
  EXPECT_EQ(changed[1]->reload, kReloadable);
}

TEST(SettingTypesTest, SizesArePrintedWithTheLargestFittingUnit) {
  using settings_internal::Print;
  EXPECT_EQ(Print(256 * kMiB), "256MiB");
  EXPECT_EQ(Print(1536 * kMiB), "1536MiB");
  EXPECT_EQ(Print(ByteSize(1000)), "1000");
  EXPECT_EQ(Print(ByteSize(0)), "0");
  EXPECT_EQ(Print(4 * kTiB), "4TiB");
}

TEST(SettingTypesTest, SizesAreReadWithAndWithoutUnits) {
  for (const auto& [text, bytes] : std::initializer_list<std::pair<const char*, int64_t>>{
           {"0", 0}, {"1000", 1000}, {"4k", 4096}, {"4K", 4096}, {"4KiB", 4096}, {"16Gi", 16 * kGiB}, {"7b", 7}}) {
    ByteSize size;
    EXPECT_TRUE(settings_internal::Parse(text, &size)) << text;
    EXPECT_EQ(size, bytes) << text;
  }
}

TEST(SettingTypesTest, DurationsArePrintedAsOneWritesThem) {
  using settings_internal::Print;
  EXPECT_EQ(Print(absl::Hours(72)), "72h");
  EXPECT_EQ(Print(absl::Minutes(90)), "1h30m");
  EXPECT_EQ(Print(absl::Seconds(90)), "1m30s");
  EXPECT_EQ(Print(absl::Milliseconds(250)), "250ms");
  EXPECT_EQ(Print(absl::Seconds(10)), "10s");
  EXPECT_EQ(Print(absl::Minutes(10)), "10m");
  EXPECT_EQ(Print(absl::ZeroDuration()), "0");
}

TEST(SettingsDeathTest, RowsThatCannotBeAreABug) {
  SettingsTable table;
  int64_t a = 0;
  table.Add("a.b_c", &a, Default(1), kNeedsRestart, "");
  EXPECT_DEATH(table.Add("a.b_c", &a, Default(1), kNeedsRestart, ""), "a.b_c");
  EXPECT_DEATH(table.Add("a_b.c", &a, Default(1), kNeedsRestart, ""), "a.b_c and a_b.c");
  EXPECT_DEATH(table.Add("d", &a, Default(7), Between(1, 5), kNeedsRestart, ""), "its default 7");
  EXPECT_DEATH(table.Add("Upper-Case", &a, Default(1), kNeedsRestart, ""), "Upper-Case");
}

}  // namespace
}  // namespace barid
