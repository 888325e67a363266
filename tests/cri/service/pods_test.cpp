// SPDX-License-Identifier: Apache-2.0
// The service among real pods of a real container runtime: whose a loss is, and whom a policy lets it tune.
#include "cri/service/web.hpp"
#include "netns/service/pod_logs.hpp"
#include "recording/file.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr std::uint16_t sidecar_port = 8081;
constexpr std::uint16_t nginx_port = 8082;

// By namespace and label: other pods that this machine may have are left alone.
std::string tunes_shop_alone(const std::string& more = {}) {
    return policy_text_for("{match: {namespace: shop, labels: {app: web}}}", "shop", "mode: auto" + more);
}

PodSpec web_with_sidecar(const ContainerRuntime& runtime, const std::string& ns, unsigned number) {
    PodSpec pod = web(runtime, ns, number);
    pod.containers.push_back({.name = "sidecar", .command = server(sidecar_port)});
    return pod;
}

// Its master holds the socket, its workers serve it.
ContainerSpec nginx() {
    const std::string config = "daemon off; user root; pid /tmp/nginx.pid; error_log stderr; events {} http { "
                               "access_log off; server { listen " +
                               std::to_string(nginx_port) + " backlog=4096; return 204; } }";
    const std::string start = "echo '" + config + "' > /tmp/nginx.conf && exec /bin/nginx -c /tmp/nginx.conf";
    return {.name = "front", .command = {"/bin/sh", "-c", start}};
}

// Bursts that a queue of 128 cannot hold, until the pod ends.
PodSpec load(const ContainerRuntime& runtime, unsigned number, const std::string& target) {
    return {.ns = "load",
            .name = fmt::format("load-{}", number),
            .uid = runtime.uid(number),
            .containers = {{.name = "burst",
                            .command = {"/bin/burst-client", "--target", fmt::format("{}:{}", target, web_port),
                                        "--connections", "600", "--bursts", "1000", "--every", "500ms"}}}};
}

std::string programs() { return server_program() + " " + build_dir + "/burst-client nginx"; }

Json pod_json(const std::string& ns, const Json& container, const std::string& name = "web-0") {
    return {{"namespace", ns}, {"name", name}, {"container", container}};
}

Json listener_of(const Json& top, const std::string& ns, const std::string& container) {
    return row_where(top["listeners"], {{"pod", pod_json(ns, container)}});
}

// Until what is asked of a listener's row holds; its row then.
Json await_row(const Home& home, const std::string& ns, const std::function<bool(const Json&)>& is_it) {
    Json row;
    const bool came = comes_true([&] {
        row = listener_of(home.top(), ns, "web");
        return row.is_object() && is_it(row);
    });
    INFO(row.dump());
    REQUIRE(came);
    return row;
}

bool was_raised(const Json& row) { return row["limit"] > 128 && row["somaxconn"] > 128; }

} // namespace

TEST_CASE("an overflow is its pod's and container's, and only who the policy selects is raised, and put back") {
    ContainerRuntime runtime(programs());
    const Home home;
    home.set_policy(tunes_shop_alone("\n  onExit: restore"));
    Running service(home, asking(runtime));
    CHECK(service.says("pods: containerd 1."));

    PodSpec shop_spec = web_with_sidecar(runtime, "shop", 1);
    shop_spec.containers.push_back(nginx());
    const auto shop = must_be(runtime.pods().run(shop_spec));
    const auto pay = must_be(runtime.pods().run(web_with_sidecar(runtime, "pay", 2)));
    const auto load_of_shop = must_be(runtime.pods().run(load(runtime, 3, shop.address)));
    must_be(runtime.pods().run(load(runtime, 4, pay.address)));

    const Json raised = await_row(home, "shop", was_raised);
    const Json left = await_row(home, "pay", [](const Json& row) { return row["overflows"] > 0; });
    CHECK(left["limit"] == 128);
    CHECK(left["somaxconn"] == 128);
    Json top;
    CHECK(comes_true([&] { // the census finds who has no connections
        top = home.top();
        return listener_of(top, "shop", "sidecar").is_object() && listener_of(top, "shop", "front").is_object();
    }));
    CHECK(listener_of(top, "shop", "sidecar")["port"] == sidecar_port);
    CHECK(listener_of(top, "shop", "sidecar")["overflows"] == 0);
    CHECK(listener_of(top, "shop", "front")["port"] == nginx_port);
    const Json netns = row_where(top["tcp"], {{"netns", raised["netns"]}});
    CHECK(netns["pod"] == pod_json("shop", nullptr));
    CHECK(!home.history().empty());
    for (const Json& change : home.history())
        CHECK(change["scope"]["pod"] == Json{{"namespace", "shop"}, {"name", "web-0"}});

    // What is true stays so while nobody can be asked, and who comes after that is known.
    runtime.stop();
    CHECK(service.says("is still taken for true"));
    CHECK(listener_of(home.top(), "shop", "web").is_object());
    runtime.start();
    PodSpec later = web(runtime, "shop", 5);
    later.name = "later";
    later.annotations = {{"bpftune-k8s.io/mode", "observe"}};
    const auto since = must_be(runtime.pods().run(later));
    const auto knows_later = [&] {
        return row_where(home.top()["listeners"], {{"pod", pod_json("shop", "web", "later")}}).is_object();
    };
    const bool came_to_be_known = comes_true(knows_later);
    INFO(home.top().dump() << service.err());
    CHECK(came_to_be_known);
    must_be(runtime.pods().remove(since.sandbox));
    CHECK(comes_true([&] { return !knows_later(); }));
    CHECK(listener_of(home.top(), "shop", "web").is_object());

    must_be(runtime.pods().remove(load_of_shop.sandbox)); // what is in use is not taken back at once
    await_row(home, "shop", [arrivals = Json()](const Json& row) mutable {
        const bool is_over = std::exchange(arrivals, row["arrivals"]) == row["arrivals"] && row["queue"] == 0;
        std::this_thread::sleep_for(std::chrono::milliseconds(1200)); // another tick
        return is_over;
    });
    service.signal(SIGTERM);
    CHECK(service.wait() == 0);
    const Json after = json_of(run({"top", "--once", "-o", "json", "--socket", home / "none"}));
    const Json restored = row_where(after["listeners"], {{"netns", raised["netns"]}, {"port", web_port}});
    CHECK(restored["limit"] == 128);
    CHECK(restored["somaxconn"] == 128);
}

TEST_CASE("a pod whose first listener overflows between two ticks is known, and raised, before the next") {
    ContainerRuntime runtime(programs());
    const Home home;
    home.set_policy(tunes_shop_alone());
    Service::Settings settings = asking(runtime);
    settings.interval = "1h"; // so no tick tells it
    const Running service(home, settings);
    const auto shop = must_be(runtime.pods().run(web(runtime, "shop", 1)));
    must_be(runtime.pods().run(load(runtime, 2, shop.address)));
    Json raised;
    const bool was_at_once = comes_true([&] {
        raised = row_where(home.history(), {{"tunable", "net.core.somaxconn"}});
        return raised.is_object();
    });
    INFO(service.err());
    REQUIRE(was_at_once);
    CHECK(raised["scope"]["pod"] == Json{{"namespace", "shop"}, {"name", "web-0"}});
}

TEST_CASE("a listener is its own container's, and not that of an init container which had the port before") {
    ContainerRuntime runtime(programs());
    const Home home;
    home.set_policy(tunes_shop_alone());
    const Running service(home, asking(runtime));
    PodSpec spec = web(runtime, "shop", 1);
    const ContainerSpec main = spec.containers.front();
    spec.containers.front().name = "init";
    const auto pod = must_be(runtime.pods().run(spec));
    const auto listens = [&](const std::string& container) {
        const Json row = listener_of(home.top(), "shop", container);
        return row.is_object() && row["port"] == web_port;
    };
    CHECK(comes_true([&] { return listens("init"); }));
    must_be(runtime.pods().stop_container(pod.containers.front()));
    must_be(runtime.pods().add_container(pod.sandbox, spec, main));
    CHECK(comes_true([&] { return listens("web"); }));
    CHECK(listener_of(home.top(), "shop", "init").is_null());
}

TEST_CASE("a pod in the node's own network is known by the process that listens") {
    ContainerRuntime runtime(programs());
    const Home home;
    home.set_policy(tunes_shop_alone());
    const Running service(home, asking(runtime));
    const std::uint16_t free_port = port_of(listen_on("127.0.0.1", 0, 1));
    must_be(runtime.pods().run({.ns = "kube-system",
                                .name = "web-0",
                                .uid = runtime.uid(1),
                                .host_network = true,
                                .containers = {{.name = "agent", .command = server(free_port)}}}));
    CHECK(comes_true([&] {
        const Json row = row_where(home.top()["listeners"], {{"port", free_port}});
        UNSCOPED_INFO(row.dump());
        return row.is_object() && row["pod"] == pod_json("kube-system", "agent");
    }));
    CHECK(row_where(home.top()["tcp"], {{"netns", take(sys::own_netns()).inode}})["pod"].is_null());
}

TEST_CASE("a pod that asks to be left alone is, from its first moment and from the service's") {
    ContainerRuntime runtime(programs());
    const Home home;
    // The entry matches by the names of their logs, before the runtime has told anything.
    const std::string ns = own_kubernetes_namespace();
    const TemporaryDirectory logs;
    home.set_policy(policy_text_for("{match: {namespace: " + ns + "}}", "shop", "mode: auto",
                                    "    net.core.somaxconn: {min: 1024}\n"));
    const auto make = [&](const std::string& name, unsigned number, bool asks) {
        PodSpec pod = web_with_sidecar(runtime, ns, number);
        pod.name = name;
        add_pod_log(logs.path(), ns, name, pod.uid);
        if (asks) pod.annotations = {{"bpftune-k8s.io/mode", "observe"}};
        must_be(runtime.pods().run(pod));
    };
    make("before-left-alone", 1, true);
    make("before", 2, false);
    Service::Settings settings = asking(runtime);
    settings.before = with_var_log(logs.path());
    const Running service(home, settings);
    make("since-left-alone", 3, true);
    make("since", 4, false);
    const auto somaxconn_of = [&](const std::string& name) {
        const Json top = home.top();
        for (const Json& row : top["listeners"])
            if (row["pod"].is_object() && row["pod"]["name"] == name) return row["somaxconn"].get<int>();
        return 0;
    };
    for (const std::string name : {"before", "since"}) {
        INFO(name);
        CHECK(comes_true([&] { return somaxconn_of(name) == 1024; }));
        CHECK(somaxconn_of(name + "-left-alone") == 128);
    }
    for (const Json& change : home.history())
        CHECK_FALSE(change["scope"]["pod"]["name"].get<std::string>().ends_with("-left-alone"));
}

TEST_CASE("without a service top, record and doctor know pods by the runtime whose socket they are told") {
    ContainerRuntime runtime(programs());
    const Home home;
    must_be(runtime.pods().run(web(runtime, "shop", 1)));
    const std::string socket = runtime.socket();
    const Json doctor = Json::parse(run({"doctor", "-o", "json", "--cri-socket", socket}).out);
    CHECK(doctor["pods"]["rung"] == "cri");
    const Json top =
        json_of(run({"top", "--once", "-d", "3s", "-o", "json", "--socket", home / "none", "--cri-socket", socket}));
    CHECK(listener_of(top, "shop", "web").is_object());
    CHECK(top["pods"] == Json{{"rung", "cri"}, {"reason", nullptr}});
    const std::string file = home / "recorded";
    CHECK(run({"record", file, "--for", "4s", "--socket", home / "none", "--cri-socket", socket}).status == 0);
    auto lines = must_be(recording::LineReader::open(file));
    bool is_named = false;
    while (const auto line = must_be(lines.next())) is_named |= line->find("\"web-0\"") != std::string::npos;
    CHECK(is_named);
}
