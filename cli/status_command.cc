#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/describe.h"
#include "cli/json.h"
#include "cli/table.h"

namespace barid::cli {
namespace {

class ClusterStatus : public Command {
 public:
  absl::Status Run(const FlagSet&, absl::Span<const std::string>, Session* session) override {
    ASSIGN_OR_RETURN(Client* const client, session->Connect());
    ASSIGN_OR_RETURN(const admin::DescribeClusterResponse cluster,
                     client->Call(&admin::Admin::Stub::DescribeCluster, admin::DescribeClusterRequest()));
    WarnOfSilentBrokers(cluster.silent_brokers(), session->err());
    if (session->json()) {
      PrintJson(cluster, session->out());
    } else {
      PrintTables(cluster, session->out());
    }
    return absl::OkStatus();
  }

 private:
  static void PrintJson(const admin::DescribeClusterResponse& cluster, std::ostream& out) {
    JsonWriter json;
    json.BeginObject().Field("cluster", cluster.cluster()).Field("version", cluster.version());
    json.Field("metadata_revision", cluster.metadata_revision()).Field("topics", cluster.topics());
    json.Field("groups", cluster.groups()).Field("clients_connected", cluster.clients_connected());
    json.Field("ready", cluster.ready()).Field("in_flight", cluster.in_flight()).Field("blocked", cluster.blocked());
    json.Field("delayed", cluster.delayed()).Field("dead_lettered", cluster.dead_lettered());
    json.Key("silent_brokers").BeginArray();
    for (const std::string& broker : cluster.silent_brokers()) json.Value(broker);
    json.End();
    json.Key("brokers").BeginArray();
    for (const auto& broker : cluster.brokers()) {
      json.BeginObject().Field("id", broker.id()).Field("endpoint", broker.endpoint());
      json.Field("shards_led", broker.shards_led()).End();
    }
    json.End().Key("shards").BeginArray();
    for (const auto& shard : cluster.shards()) {
      json.BeginObject().Field("id", shard.id()).Field("name", shard.name());
      json.Field("leader", shard.leader()).Field("epoch", shard.epoch()).End();
    }
    out << json.End().End().text() << "\n";
  }

  static void PrintTables(const admin::DescribeClusterResponse& cluster, std::ostream& out) {
    Table head({});
    head.AddRow({"cluster", cluster.cluster()});
    head.AddRow({"version", cluster.version()});
    head.AddRow({"metadata revision", absl::StrCat(cluster.metadata_revision())});
    head.AddRow({"topics", absl::StrCat(cluster.topics())});
    head.AddRow({"groups", absl::StrCat(cluster.groups())});
    head.AddRow({"clients", absl::StrCat(cluster.clients_connected())});
    head.AddRow({"ready", absl::StrCat(cluster.ready())});
    head.AddRow({"in flight", absl::StrCat(cluster.in_flight())});
    head.AddRow({"blocked", absl::StrCat(cluster.blocked())});
    head.AddRow({"delayed", absl::StrCat(cluster.delayed())});
    head.AddRow({"dead-lettered", absl::StrCat(cluster.dead_lettered())});
    head.Print(out);
    Table brokers({"BROKER", "ENDPOINT", "SHARDS LED"});
    for (const auto& broker : cluster.brokers())
      brokers.AddRow({broker.id(), broker.endpoint(), absl::StrCat(broker.shards_led())});
    out << "\n";
    brokers.Print(out);
    Table shards({"SHARD", "ID", "LEADER", "EPOCH"});
    for (const auto& shard : cluster.shards()) {
      shards.AddRow({shard.name(), absl::StrCat(shard.id()), shard.leader(), absl::StrCat(shard.epoch())});
    }
    out << "\n";
    shards.Print(out);
  }
};

}  // namespace

void AddStatusCommand(std::vector<CommandEntry>* commands) {
  commands->push_back({"status", "", "Shows the cluster: brokers, shards and who leads them.", Make<ClusterStatus>()});
}

}  // namespace barid::cli
