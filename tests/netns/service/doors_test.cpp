// SPDX-License-Identifier: Apache-2.0
// What goes in and out: commands without a service, hostile names, the HTTP port.
#include <fstream>
#include <set>

#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "actuators/journal.hpp"
#include "fixtures.hpp"
#include "http_client.hpp"
#include "paths.hpp"
#include "service/api_client.hpp"
#include "service/boot.hpp"
#include "service/listen_address.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr std::uint16_t port = 8080;
constexpr auto hostile = "\xff\x1b[31m\"'\\\n";

bool has_controls(const std::string& text) {
    return std::ranges::any_of(text, [](unsigned char c) { return (c < 0x20 && c != '\n') || c == 0x7f; });
}

// A process that can open nothing more, as long as it is there.
class WithoutDescriptors {
public:
    explicit WithoutDescriptors(pid_t pid) : pid_(pid) {
        must(::prlimit(pid_, RLIMIT_NOFILE, nullptr, &before_) == 0, "read its limits");
        rlimit none = before_;
        none.rlim_cur = 1;
        must(::prlimit(pid_, RLIMIT_NOFILE, &none, nullptr) == 0, "set its limits");
    }
    WithoutDescriptors(const WithoutDescriptors&) = delete;
    WithoutDescriptors& operator=(const WithoutDescriptors&) = delete;
    ~WithoutDescriptors() { ::prlimit(pid_, RLIMIT_NOFILE, &before_, nullptr); }

private:
    pid_t pid_;
    rlimit before_{};
};

bool sleeps(const Program& program) {
    const auto call = sys::read_file(fmt::format("/proc/{}/syscall", program.pid()));
    return call && call->starts_with(fmt::format("{} ", SYS_clock_nanosleep));
}

// A file system of its own, for a folder that is not there yet.
class SmallDisk {
public:
    explicit SmallDisk(std::string path) : path_(std::move(path)) {
        fs::create_directory(path_);
        must(::mount("tmpfs", path_.c_str(), "tmpfs", 0, "size=256k,mode=0750") == 0, "mount a small disk");
    }
    SmallDisk(const SmallDisk&) = delete;
    SmallDisk& operator=(const SmallDisk&) = delete;
    ~SmallDisk() { ::umount2(path_.c_str(), MNT_DETACH); }

    void fill() const {
        std::ofstream file(filler(), std::ios::trunc);
        while (file << std::string(1024, 'x') << std::flush) {
        }
    }
    void free() const { fs::remove(filler()); }
    void set_read_only(bool is_read_only) const {
        const unsigned long flags = MS_REMOUNT | (is_read_only ? MS_RDONLY : 0);
        must(::mount(nullptr, path_.c_str(), nullptr, flags, nullptr) == 0, "mount a small disk again");
    }

private:
    [[nodiscard]] std::string filler() const { return path_ + "/filler"; }
    std::string path_;
};

std::size_t count_of(const std::string& text, std::string_view part) {
    std::size_t count = 0;
    for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++count;
    return count;
}

// Label names and metric names of a text exposition.
struct Names {
    std::set<std::string> metrics;
    std::set<std::string> described; // by both HELP and TYPE
    std::set<std::string> labels;
};

void take_labels(std::string text, std::set<std::string>& labels) {
    for (std::size_t equals = text.find("=\""); equals != std::string::npos; equals = text.find("=\"")) {
        labels.insert(text.substr(0, equals));
        const std::size_t next = text.find("\",", equals + 2);
        text = next == std::string::npos ? "" : text.substr(next + 2);
    }
}

Names names_of(const std::string& answer) {
    Names names;
    std::set<std::string> helped;
    std::istringstream lines(answer.substr(answer.find("\r\n\r\n") + 4));
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string first;
        std::string second;
        std::string name;
        words >> first >> second >> name;
        if (second == "HELP") helped.insert(name);
        if (second == "TYPE" && helped.contains(name)) names.described.insert(name);
        if (line.empty() || line.starts_with('#')) continue;
        const std::size_t brace = line.find('{');
        names.metrics.insert(line.substr(0, std::min(brace, line.find(' '))));
        if (brace != std::string::npos) take_labels(line.substr(brace + 1), names.labels);
    }
    return names;
}

} // namespace

TEST_CASE("a process with a hostile name is named, and nothing it is called reaches a terminal", "[any-kernel]") {
    const Home home;
    home.set_policy(policy_text("hostile", "mode: auto"));
    const Site site(4);
    const Process server(site.netns, [] {
        ::prctl(PR_SET_NAME, hostile);
        static const sys::Fd listener = listen_on("127.0.0.1", port, 1000);
        return std::uint64_t{0};
    });
    const Running service(home, {.listen = "127.0.0.1:0"});
    const auto waiting = site.connect(40, port);
    const auto row = [&] { return listener_row(home.top(), site, port); };
    REQUIRE(comes_true([&] { return row()["pid"] == server.pid() && row()["queue_peak"] > 4; }));
    REQUIRE(comes_true([&] { return !home.history().empty(); }));

    const std::string command = row()["command"];
    CHECK(command.find("[31m\"'") != std::string::npos);
    CHECK_FALSE(has_controls(command));
    const std::string why = home.history().back()["why"];
    CHECK(why.find("[31m\"'") != std::string::npos);
    const Ran table = run({"top", "--once", "--socket", home.socket()});
    const Ran history = run({"history", "--state-dir", home.state()});
    CHECK(table.out.find("[31m\"'") != std::string::npos);
    CHECK_FALSE(has_controls(table.out));
    std::string csv = run({"top", "--once", "-o", "csv", "--socket", home.socket()}).out;
    std::erase(csv, '\r'); // lines end as in RFC 4180
    CHECK_FALSE(has_controls(csv));
    CHECK_FALSE(has_controls(history.out));
    CHECK_FALSE(has_controls(service.err()));
    const std::string metrics = get(http_port(service), "/metrics");
    CHECK_FALSE(has_controls(metrics.substr(metrics.find("\r\n\r\n") + 4)));
}

TEST_CASE("the HTTP port tells metrics, health and readiness", "[any-kernel]") {
    const Home home;
    home.set_policy(policy_text("http", "mode: observe"));
    const Site site(4);
    const auto listener = site.listen(port);
    const Running service(home, {.listen = "127.0.0.1:0"});
    const std::uint16_t at = http_port(service);
    CHECK(get(at, "/healthz").starts_with("HTTP/1.1 200 "));
    CHECK(get(at, "/readyz").starts_with("HTTP/1.1 200 "));
    CHECK(get(at, "/nothing").starts_with("HTTP/1.1 404 "));
    CHECK(get(at, "/").find("href=\"/metrics\"") != std::string::npos);

    const auto waiting = site.connect(20, port);
    REQUIRE(comes_true([&] { return listener_row(home.top(), site, port)["overflows"] > 0; }));
    const std::string metrics = get(at, "/metrics");
    CHECK(metrics.starts_with("HTTP/1.1 200 "));
    const Names names = names_of(metrics);
    CHECK(names.metrics.contains("bpftune_listener_overflows_total"));
    for (const std::string& name : names.metrics) {
        INFO(name);
        CHECK((name.starts_with("bpftune_") || name.starts_with("process_")));
        CHECK(names.described.contains(name));
    }
    for (const std::string& label : names.labels) {
        INFO(label);
        CHECK(label.find("pid") == std::string::npos);
        CHECK(label.find("port") == std::string::npos);
        CHECK(label.find("address") == std::string::npos);
    }
    CHECK(names.labels.contains("namespace"));
}

TEST_CASE("while no change can be recorded none is made, which is said everywhere and once in the log",
          "[any-kernel]") {
    const Home home;
    const SmallDisk disk(home.state());
    home.set_policy(policy_text("disk", "mode: auto", "    net.core.somaxconn: {max: 65535}\n"));
    const Site first; // what its burst asks for may still have its place
    const Site site;
    const auto loud = first.listen(port);
    const auto listener = site.listen(port);
    Running service(home, {.listen = "127.0.0.1:0"});
    const std::uint16_t at = http_port(service);
    CHECK(mentions(get(at, "/metrics"), "bpftune_journal_writable 1\n"));

    disk.fill();
    REQUIRE(comes_true([&] {
        first.burst(loud, port);
        return home.top()["journal_error"].is_string();
    }));
    CHECK(comes_true([&] { return get(at, "/readyz").starts_with("HTTP/1.1 503 "); }));
    CHECK(mentions(get(at, "/readyz"), "no change can be recorded"));
    CHECK(mentions(get(at, "/metrics"), "bpftune_journal_writable 0\n"));
    CHECK(get(at, "/healthz").starts_with("HTTP/1.1 200 "));
    CHECK(mentions(run({"health", "--ready", "--socket", home.socket()}).err,
                   " is not ready: no change can be recorded"));
    CHECK(run({"health", "--socket", home.socket()}).status == 0);
    for (int i = 0; i < 10; ++i) site.burst(listener, port);
    CHECK(limit_of(listener) == 8);
    CHECK(count_of(service.err(), "nothing is written until changes can be recorded again") == 1);

    disk.free();
    REQUIRE(service.says("changes are recorded again"));
    REQUIRE(comes_true([&] {
        site.burst(listener, port);
        return limit_of(listener) > 8;
    }));
    CHECK(home.top()["journal_error"].is_null());
    CHECK(comes_true([&] { return get(at, "/readyz").starts_with("HTTP/1.1 200 "); }));
}

TEST_CASE("on a disk that takes nothing the service begins without a journal: it observes, says so, and goes on later",
          "[any-kernel]") {
    const Home home;
    const SmallDisk disk(home.state());
    home.set_policy(policy_text("full", "mode: auto", "    net.core.somaxconn: {max: 65535}\n"));
    const Site site;
    const auto listener = site.listen(port);
    const auto [has_run_before, is_read_only] =
        GENERATE(table<bool, bool>({{false, false}, {true, false}, {true, true}}));
    if (has_run_before) {
        Running service(home);
        site.burst(listener, port);
        REQUIRE(comes_true([&] { return limit_of(listener) > 8 && limit_of(listener) == somaxconn_in(site.netns); }));
        service.signal(SIGTERM);
        REQUIRE(service.wait() == 0);
    }
    is_read_only ? disk.set_read_only(true) : disk.fill();
    const std::uint64_t before = limit_of(listener);
    Running service(home, {.listen = "127.0.0.1:0"});
    const std::uint16_t at = http_port(service);
    CHECK(service.says("; nothing is written until changes can be recorded again"));
    CHECK(service.err().contains("KiB are free on its file system, 64 are needed; nothing is") == !is_read_only);
    CHECK(service.err().contains("its file system is read-only; nothing is written until") == is_read_only);
    CHECK(home.top()["mode"] == "observe");
    CHECK_THAT(home.top()["mode_reason"].get<std::string>(), Catch::StartsWith("no change can be recorded: journal "));
    CHECK(home.top()["journal_error"].is_string());
    CHECK(mentions(get(at, "/readyz"), "no change can be recorded"));
    CHECK(mentions(get(at, "/metrics"), "bpftune_journal_writable 0\n"));
    CHECK(get(at, "/healthz").starts_with("HTTP/1.1 200 "));
    CHECK(home.restored().status == 1); // nothing is known of what was raised
    for (int i = 0; i < 10; ++i) site.burst(listener, port, 4 * before);
    CHECK(limit_of(listener) == before);

    is_read_only ? disk.set_read_only(false) : disk.free();
    REQUIRE(service.says("changes are recorded again"));
    CHECK(comes_true([&] { return get(at, "/readyz").starts_with("HTTP/1.1 200 "); }));
    CHECK(home.top()["mode"] == "auto");
    CHECK(home.top()["mode_reason"].is_null());
    CHECK(service.err().contains("adopted: net.core.somaxconn") == has_run_before);
    REQUIRE(comes_true([&] {
        site.burst(listener, port, 4 * before);
        return limit_of(listener) > before;
    }));
    for (const Json& line : home.restore()) CHECK(line["result"] == "restored");
    CHECK(somaxconn_in(site.netns) == 8);
}

TEST_CASE("on a read-only disk without a lock no service starts, since two could, and what it needs is said",
          "[any-kernel]") {
    const Home home;
    const SmallDisk disk(home.state());
    home.set_policy(policy_text("full", "mode: observe"));
    disk.set_read_only(true);
    const Ran ran = run(
        {"run", "--policy", home.policy(), "--state-dir", home.state(), "--socket", home.socket(), "--listen", "none"});
    CHECK(ran.status == 1);
    CHECK(mentions(ran.err, "/lock: Read-only file system. The first start needs a state directory that can be"));
}

TEST_CASE(
    "a service whose journal is removed is not ready from the next tick on, and says once that nothing is written",
    "[any-kernel]") {
    const Home home;
    home.set_policy(policy_text("gone", "mode: auto", "    net.core.somaxconn: {max: 65535}\n"));
    const Site site;
    const auto listener = site.listen(port);
    const auto narrow = site.listen(port + 1, 4); // what is recommended for it is recorded, whatever can be written
    const Running service(home, {.listen = "127.0.0.1:0"});
    const std::uint16_t at = http_port(service);
    REQUIRE(comes_true([&] {
        site.burst(listener, port);
        return limit_of(listener) > 8;
    }));
    for (const char* file : {"/journal.db", "/journal.db-wal", "/journal.db-shm"}) fs::remove(home.state() + file);

    CHECK(comes_true([&] { return get(at, "/readyz").starts_with("HTTP/1.1 503 "); }));
    CHECK(mentions(get(at, "/readyz"), "removed or replaced while it was in use"));
    const std::uint64_t raised = limit_of(listener);
    for (int ticks = 0; ticks < 3; ++ticks) {
        const Json before = home.top()["time"];
        REQUIRE(comes_true([&] {
            site.burst(listener, port, 4 * raised);
            site.burst(narrow, port + 1);
            return home.top()["time"] != before;
        }));
    }
    CHECK(service.err().contains("recommended: "));
    CHECK(limit_of(listener) <= raised); // lower where it was taken back
    CHECK(count_of(service.err(), "nothing is written until changes can be recorded again") == 1);
    CHECK_FALSE(service.err().contains("changes are recorded again"));
    for (const Json& line : home.restore()) CHECK(line["result"] == "restored"); // as the error says
    CHECK(somaxconn_in(site.netns) == 8);
}

TEST_CASE("metrics tell which policy is in force, and whether the last one was taken", "[any-kernel]") {
    const Home home;
    home.set_policy(policy_text("first", "mode: observe"));
    const Running service(home, {.listen = "127.0.0.1:0"});
    const std::uint16_t at = http_port(service);
    const std::string shown = run({"policy", "show", home.policy()}).out;
    const std::string hash = shown.substr(shown.find("# hash: ") + 8, 16);
    const std::string info = "bpftune_policy_info{name=\"first\",hash=\"" + hash + "\"} 1\n";
    CHECK(mentions(get(at, "/metrics"), info));
    CHECK(mentions(get(at, "/metrics"), "bpftune_policy_last_reload_successful 1\n"));
    const auto loaded_at = [&] {
        const std::string metrics = get(at, "/metrics");
        const std::string_view name = "\nbpftune_policy_last_reload_success_timestamp_seconds ";
        return std::stod(metrics.substr(metrics.find(name) + name.size()));
    };
    const double first = loaded_at();
    home.set_policy("spec: {mode: nonsense}");
    CHECK(comes_true([&] { return mentions(get(at, "/metrics"), "bpftune_policy_last_reload_successful 0\n"); }));
    CHECK(mentions(get(at, "/metrics"), info));
    CHECK(loaded_at() == first);
    home.set_policy(policy_text("second", "mode: observe\n  metrics: {maxSeries: 2000}"));
    CHECK(comes_true([&] { return mentions(get(at, "/metrics"), "bpftune_metrics_series_limit 2000\n"); }));
    CHECK(loaded_at() > first);
}

TEST_CASE("a service without a free descriptor answers when it has one again, and ends when it is told to",
          "[any-kernel]") {
    const Home home;
    home.set_policy(policy_text("descriptors", "mode: observe"));
    Running service(home, {.listen = "127.0.0.1:0"});
    const std::uint16_t at = http_port(service);
    auto none = std::make_optional<WithoutDescriptors>(service.pid());
    const sys::Fd waiting = ask(at, "/readyz");
    REQUIRE(service.says("could not read")); // and it has tried to accept by then
    if (GENERATE(false, true)) {
        none.reset();
        CHECK(answer_on(waiting).starts_with("HTTP/1.1 200 "));
        CHECK(get(at, "/healthz").starts_with("HTTP/1.1 200 "));
        CHECK(home.top()["schema"] == 1);
    }
    service.signal(SIGTERM);
    CHECK(service.wait() == 0);
    none.reset();
}

TEST_CASE("a port that another process has is done without, which is said, and had when it is free", "[any-kernel]") {
    const Home home;
    home.set_policy(policy_text("http", "mode: auto"));
    const Site site(4);
    const auto listener = site.listen(port);
    sys::Fd other = listen_on("127.0.0.1", 0, 1);
    const auto at = static_cast<std::uint16_t>(service::port_of(other));
    const std::string address = fmt::format("127.0.0.1:{}", at);
    Running service(home, {.listen = address});

    CHECK(home.top()["http_error"] ==
          "cannot listen on " + address + ": Address already in use; --listen chooses another");
    CHECK(mentions(run({"top", "--once", "--socket", home.socket()}).out, "No metrics are served: cannot listen on"));
    const Ran ready = run({"health", "--ready", "--socket", home.socket()});
    CHECK(ready.status == 0);
    CHECK(mentions(ready.err, "bpftune-k8s: no metrics are served: cannot listen on " + address));
    const Ran doctor = run({"doctor", "-o", "json", "--socket", home.socket()});
    CHECK(doctor.status == 1);
    CHECK(Json::parse(doctor.out)["service"]["http_error"] == home.top()["http_error"]);
    CHECK(comes_true([&] {
        site.burst(listener, port);
        return limit_of(listener) > 4;
    }));

    other.reset();
    REQUIRE(service.says(fmt::format("metrics on port {}: its address was free at last", at)));
    CHECK(count_of(service.err(), "no metrics are served") == 1);
    CHECK(comes_true([&] { return get(at, "/readyz").starts_with("HTTP/1.1 200 "); })); // with this tick's metrics
    CHECK(home.top()["http_error"].is_null());
    CHECK(run({"health", "--socket", home.socket()}).err.empty());
    CHECK(mentions(run({"doctor", "--socket", home.socket()}).out, "ANSWERS HERE\n  alive and ready\n"));
}

TEST_CASE("an address that is not this node's is an error at start", "[any-kernel]") {
    const Home home;
    home.set_policy(policy_text("http", "mode: observe"));
    const Ran ran = run({"run", "--policy", home.policy(), "--state-dir", home.state(), "--socket", home.socket(),
                         "--listen", "192.0.2.1:9810"});
    CHECK(ran.status == 1);
    CHECK(mentions(ran.err, "cannot listen on 192.0.2.1:9810: Cannot assign requested address"));
}

TEST_CASE("health says whether the service behind the socket is alive and ready, and does not wait for one that hangs",
          "[any-kernel]") {
    const Home home;
    home.set_policy(policy_text("health", "mode: observe"));
    const Ran none = run({"health", "--socket", home.socket()});
    CHECK(none.status == 1);
    CHECK(none.out.empty());
    CHECK(none.err == "bpftune-k8s: connect to " + home.socket() + ": No such file or directory\n");

    const Running service(home);
    const Ran alive = run({"health", "--socket", home.socket()});
    CHECK(alive.status == 0);
    CHECK(alive.out == "alive\n");
    CHECK(alive.err.empty());
    const Ran ready = run({"health", "--ready", "--socket", home.socket()});
    CHECK(ready.status == 0);
    CHECK(ready.out == "ready\n");

    service.signal(SIGSTOP);
    const Ran hangs = run({"health", "--socket", home.socket()});
    const Ran doctor = run({"doctor", "--socket", home.socket()});
    service.signal(SIGCONT);
    CHECK(mentions(doctor.out, "WRONG: " + home.socket() + ": the service gave no answer within 2 s"));
    CHECK(hangs.status == 1);
    CHECK(hangs.err ==
          "bpftune-k8s: " + home.socket() + ": the service gave no answer within 2 s: it is stopped or very busy\n");
    CHECK(comes_true([&] { return run({"health", "--socket", home.socket()}).status == 0; }));
}

TEST_CASE("the socket answers what it does not understand with an error, and is the administrator's", "[any-kernel]") {
    const Home home;
    home.set_policy(policy_text("socket", "mode: observe"));
    const Running service(home);
    CHECK((fs::status(home.socket()).permissions() & fs::perms::mask) ==
          (fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read | fs::perms::group_write));
    for (const std::string line : {"", "{", "[]", "\xff", R"({"command": 7})", R"({"command": "stop"})"}) {
        const auto answer = service::ask(home.socket(), line);
        REQUIRE(answer.has_value());
        CHECK(Json::parse(*answer).contains("error"));
    }
    CHECK(home.top()["schema"] == 1);
}

TEST_CASE("a misspelt dry run restores nothing", "[any-kernel]") {
    const Home home;
    home.set_policy(policy_text("misspelt", "mode: auto"));
    const Site site(4);
    const auto listener = site.listen(port);
    const Running service(home);
    site.burst(listener, port);
    REQUIRE(comes_true([&] { return limit_of(listener) > 4; }));
    const auto answer = service::ask(home.socket(), R"({"command": "restore", "dryrun": true})");
    REQUIRE(answer.has_value());
    CHECK(Json::parse(*answer)["error"] == R"("dryrun": not known for "restore"; did you mean "dry_run"?)");
    CHECK(limit_of(listener) > 4);
    CHECK(home.top()["mode"] == "auto");
}

TEST_CASE("top works without a service, by probes of its own") {
    const Home home;
    const Site site(4);
    const auto listener = site.listen(port);
    const auto waiting = site.connect(3, port);
    const Ran ran = run({"top", "--once", "-d", "200ms", "-o", "json", "--socket", home.socket()});
    const Json top = json_of(ran);
    CHECK(ran.err.starts_with("bpftune-k8s: no service answers at "));
    CHECK(top["mode"] == "observe");
    CHECK(top["changes"].empty());
    const Json row = listener_row(top, site, port);
    CHECK(row["queue"] == 3);
    CHECK(row["limit"] == 4);
    CHECK(row["somaxconn"] == 4);
    CHECK(row["overflows"] == 0);
    for (const char* field : {"listen", "time_wait", "softirq", "conntrack"}) CHECK(top["sources"].contains(field));
    CHECK(top["time"].is_string());
    CHECK(top["node"].is_string());
    CHECK(top["lost_events"] == 0);
}

TEST_CASE("top counts what happens in its one interval without a service", "[any-kernel]") {
    const Home home;
    const Site site(4);
    const auto listener = site.listen(port);
    Program top({"top", "--once", "-d", "4s", "-o", "json", "--socket", home.socket()}, home / "out", home / "err");
    REQUIRE(comes_true([&] { return sleeps(top); })); // its zero is taken
    (void)site.connect(30, port);
    REQUIRE(top.wait() == 0);
    const Json row = listener_row(Json::parse(top.out()), site, port);
    CHECK(row["overflows"] > 0);
    CHECK(row["overflows"] == netstat(site.netns, "ListenOverflows"));
}

TEST_CASE("history and restore are empty where no service has changed anything", "[any-kernel]") {
    const Home home;
    static_cast<void>(take(actuators::Journal::open(home.state(), take(service::boot_id()))));
    CHECK(home.restore().empty());
    CHECK(home.history().empty());
    CHECK(run({"history", "--state-dir", home.state()}).out == "no changes\n");
}

TEST_CASE("usage errors are exit 2, with nothing on stdout", "[any-kernel]") {
    const Words words =
        GENERATE(Words{}, Words{"dance"}, Words{"run", "--mode", "fast"}, Words{"run", "--interval", "1"},
                 Words{"top", "-o", "xml"}, Words{"top", "--once", "-n", "3"}, Words{"policy", "check"},
                 Words{"history", "--since", "yesterday"}, Words{"restore", "--later"});
    const Ran ran = run(words);
    CHECK(ran.status == 2);
    CHECK(ran.out.empty());
    CHECK_FALSE(ran.err.empty());
}

TEST_CASE("a path that is empty, or - where that is no standard input, is a wrong usage", "[any-kernel]") {
    const auto refused = [](Words words, const std::string& path) {
        words.push_back(path);
        const Ran ran = run(words);
        INFO(words[0] << ' ' << ran.err);
        CHECK(ran.status == 2);
        CHECK(ran.out.empty());
        CHECK_THAT(ran.err, Catch::Contains(path.empty() ? ": it is empty: a path is wanted\n"
                                                         : ": for a file called '-' write ./-\n"));
    };
    for (const Words& words :
         {Words{"record"}, Words{"replay"}, Words{"doctor", "--policy"}, Words{"doctor", "--cri-socket"},
          Words{"run", "--policy"}, Words{"run", "--state-dir"}, Words{"history", "--state-dir"},
          Words{"restore", "--state-dir"}, Words{"measure", "localhost", "--compare"}}) {
        refused(words, "");
        refused(words, "-");
    }
    for (const Words& words : {Words{"policy", "check"}, Words{"policy", "show"}, Words{"replay", "file", "--policy"}})
        refused(words, "");
}

TEST_CASE("a count of looks is a whole number from 1", "[any-kernel]") {
    for (const std::string count : {"0", "-1", "1.5", "abc", "", "18446744073709551616"}) {
        const Ran ran = run({"top", "-n", count});
        CHECK(ran.status == 2);
        CHECK(ran.err.starts_with("-n: '" + count + "' is not a whole number from 1\n"));
    }
}

TEST_CASE("each rung that is asked for is taken, or refused with the kernel's reason and nothing else done") {
    const Home home;
    for (const std::string probe : {"listen", "time_wait", "softirq", "conntrack", "sysctl"})
        for (const std::string rung : {"fentry", "tracepoint", "cgroup", "netlink", "procfs"}) {
            const std::string choice = probe + "=" + rung;
            INFO(choice);
            const Ran ran = run({"doctor", "--rung", choice, "-o", "json"});
            if (!probes::parse_rung_choice(choice)) { // which no kernel has
                CHECK(ran.status == 2);
                CHECK(ran.err.find("has no rung") != std::string::npos);
            } else if (ran.out.empty()) {
                CHECK(ran.status == 1);
                CHECK(ran.err.starts_with("bpftune-k8s: --rung: " + choice + " cannot be had here: "));
                CHECK(run({"top", "--once", "--rung", choice}).err == ran.err);
            } else {
                const Json taken = row_where(Json::parse(ran.out)["probes"], {{"probe", probe}});
                CHECK(taken["rung"] == rung);
            }
        }
}

TEST_CASE("of the shipped policies the check says in one line what each allows", "[any-kernel]") {
    for (const auto& entry : fs::directory_iterator(fs::path(source_dir) / "policies")) {
        const Ran ran = run({"policy", "check", entry.path()});
        INFO(entry.path());
        CHECK(ran.status == 0);
        CHECK(ran.out.starts_with(entry.path().string() + ": ok: "));
        CHECK(std::ranges::count(ran.out, '\n') == 1);
        CHECK(ran.err.empty());
    }
}
