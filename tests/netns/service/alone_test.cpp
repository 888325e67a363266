// SPDX-License-Identifier: Apache-2.0
// What is said where a service is not there, or not as the file says.
#include <grp.h>
#include <sys/resource.h>

#include "actuators/journal.hpp"
#include "fixtures.hpp"
#include "service/boot.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

// Standard input is this file.
Program::Before reading(const std::string& file) {
    return [file] {
        if (const int input = ::open(file.c_str(), O_RDONLY); input >= 0) ::dup2(input, STDIN_FILENO);
    };
}

} // namespace

TEST_CASE("policy show asks the service what is in force, and which file that is from", "[any-kernel]") {
    const Home home;
    home.set_policy(policy_text("mine", "mode: auto"));
    Running service(home, {.more = {"--mode", "recommend"}});
    const Ran shown = run({"policy", "show", "--socket", home.socket()});
    INFO(shown.out << shown.err);
    CHECK(shown.status == 0);
    CHECK(shown.out.starts_with("# in force: " + home.policy().string() + "\n# loaded: 20"));
    CHECK(shown.out.find("  mode: recommend\n") != std::string::npos); // by --mode, whatever the file says

    write_text(home / "shown.yaml", shown.out);
    CHECK(run({"policy", "check", home / "shown.yaml"}).status == 0);

    home.set_policy("spec: 7\n");
    REQUIRE(service.says("the old one stays"));
    const Ran after = run({"policy", "show", "--socket", home.socket()});
    CHECK(after.out.find("# its last reload failed") != std::string::npos);
    CHECK(after.out.find("\nmetadata:\n  name: \"mine\"\n") != std::string::npos);
}

TEST_CASE("policy show asks the service of one pod, which says where none is called so", "[any-kernel]") {
    const Home home;
    home.set_policy(policy_text("mine", "mode: auto"));
    const Running service(home, {});
    const Ran shown = run({"policy", "show", "--pod", "shop/web-0", "--socket", home.socket()});
    CHECK(shown.status == 1);
    CHECK(shown.out.empty());
    CHECK(shown.err.starts_with("bpftune-k8s: the service says: no pod shop/web-0 is known here, of "));
}

TEST_CASE("policy check says what a good file allows, read from standard input as well", "[any-kernel]") {
    const Home home;
    home.set_policy("apiVersion: bpftune-k8s.io/v1alpha1\nkind: NodeTuningPolicy\nmetadata: {name: web}\n"
                    "spec: {mode: observe, pods: [{match: {namespace: shop}}]}\n");
    const std::string file = home.policy();
    const std::string allowed = ": ok: observe, nothing is written, 1 entry of pods\n";
    CHECK(run({"policy", "check", file}).out == file + allowed);
    CHECK(run({"policy", "check", "-"}, reading(file)).out == "<stdin>" + allowed);
    home.set_policy("spec: 7\n");
    const Ran broken = run({"policy", "check", "-"}, reading(file));
    CHECK(broken.status == 2);
    CHECK(broken.out.empty());
    CHECK(broken.err.starts_with("<stdin>:1:1: error: "));
}

TEST_CASE("policy show says which line of a file is about a pod that need not be there", "[any-kernel]") {
    const Home home;
    home.set_policy(
        "apiVersion: bpftune-k8s.io/v1alpha1\nkind: NodeTuningPolicy\nmetadata: {name: web}\n"
        "spec:\n  mode: auto\n  pods:\n  - match: {labels: {app: web}, qos: Burstable}\n    mode: recommend\n");
    const std::string file = home.policy();
    const auto about = [&](const Words& more) {
        Words words{"policy", "show", file, "--pod", "shop/web-0"};
        words.insert(words.end(), more.begin(), more.end());
        return run(words);
    };
    const Ran known = about({"--labels", "app=web,tier=front", "--qos", "Burstable"});
    CHECK_THAT(known.out, Catch::Contains("\n# policy.yaml:7 is about it: mode recommend\n"));
    CHECK_THAT(known.out, Catch::Contains("\n  mode: recommend\n"));
    CHECK_THAT(about({}).out, Catch::Contains("# left alone: policy.yaml:7 may be about it, and its pod's labels"));
    CHECK_THAT(about({"--labels", ""}).out, Catch::Contains("# no entry of pods is about it: spec holds\n"));
    CHECK_THAT(about({"--annotations", "bpftune-k8s.io/mode=observe"}).out, Catch::Contains("  mode: observe\n"));
    CHECK_THAT(about({}).out, Catch::Contains("# pod shop/web-0: as given here\n"));
    const Ran several = about({"--annotations", "a=x\\,y,b=", "--annotations", "c=\\n", "--labels", "app=web"});
    CHECK_THAT(several.out, Catch::Contains("# annotations, when it was made: a=x,y, b=, c=\\\\n\n"));
    for (const std::string labels : {"app", "a b=c", "a=b c", "a=b,a=c", "a=b,", "=b"}) {
        INFO(labels);
        CHECK(about({"--labels", labels}).status == 2);
    }
    CHECK(about({"--labels", "a=b", "--labels", "a=c"}).status == 2);
    for (const std::string pod : {"", "web-0", "shop/", "/web", "a/b/c", "Shop/Web"}) {
        INFO(pod);
        const Ran refused = run({"policy", "show", file, "--pod", pod});
        CHECK(refused.status == 2);
        CHECK(refused.out.empty());
    }
    CHECK(run({"policy", "show", "--pod", "", "--socket", home.socket()}).status == 2);
    CHECK(about({"--qos", "best"}).status == 2);
    CHECK(run({"policy", "show", file, "--labels", "a=b"}).status == 2);
    CHECK(run({"policy", "show", "--pod", "shop/web-0", "--socket", home.socket()}).status == 1);
}

TEST_CASE("without a service policy show and top say so, and what it means", "[any-kernel]") {
    const Home home;
    const std::string alone = "no service answers at " + home.socket();
    const Ran shown = run({"policy", "show", "--socket", home.socket()});
    CHECK(shown.status == 0);
    CHECK(shown.out.starts_with("# " + alone));
    CHECK(shown.err.find(alone) != std::string::npos);

    const Ran top = run({"top", "--once", "-d", "100ms", "--socket", home.socket()});
    INFO(top.out << top.err);
    CHECK(top.status == 0);
    CHECK(top.out.starts_with(alone));
    CHECK(top.err.find(alone) != std::string::npos);
    CHECK(json_of(run({"top", "--once", "-d", "100ms", "-o", "json", "--socket", home.socket()}))["no_service"] ==
          alone + ": looking with probes of its own, nothing is tuned");
}

TEST_CASE("history and restore are an error where no service has kept its state, and leave all there as it is",
          "[any-kernel]") {
    const TemporaryDirectory folder;
    const fs::path state = folder / "state";
    const auto [what, wrong] = GENERATE(table<std::string, std::string>(
        {{"nothing", " is not there"}, {"a file", " is no directory"}, {"another directory", " has no journal.db"}}));
    if (what == "a file") write_text(state, "a file");
    if (what == "another directory") {
        fs::create_directory(state);
        write_text(state / "lock", "a lock of others");
    }
    const std::string error = "bpftune-k8s: " + state.string() + wrong + ": no service has kept its state in it\n";
    const std::string socket = folder / "none";
    for (const Words& words :
         {Words{"history"}, Words{"restore", "--socket", socket}, Words{"restore", "--dry-run", "--socket", socket}}) {
        Words all = words;
        all.insert(all.end(), {"--state-dir", state.string()});
        const Ran ran = run(all);
        CHECK(ran.status == 1);
        CHECK(ran.out.empty());
        CHECK(ran.err == error);
    }
    CHECK(fs::exists(state) == (what != "nothing"));
    if (what == "a file") CHECK(contents(state) == "a file");
    if (what == "another directory") {
        CHECK(contents(state / "lock") == "a lock of others");
        CHECK(std::distance(fs::directory_iterator(state), {}) == 1);
    }
}

TEST_CASE("whoever may not look at the state of a service is told who may", "[any-kernel]") {
    const TemporaryDirectory folder;
    const bool listed = GENERATE(true, false);
    fs::permissions(folder.path(), fs::perms{0755});
    static_cast<void>(take(actuators::Journal::open(folder / "state", take(service::boot_id()))));
    if (listed) fs::permissions(folder / "state", fs::perms{0755});
    const auto as_nobody = [] {
        constexpr uid_t nobody = 65534;
        must(::setgroups(0, nullptr) == 0 && ::setresgid(nobody, nobody, nobody) == 0 &&
                 ::setresuid(nobody, nobody, nobody) == 0,
             "become nobody");
    };
    for (const std::string command : {"history", "restore"}) {
        Words words{command, "--state-dir", folder / "state"};
        if (command == "restore") words.insert(words.end(), {"--dry-run", "--socket", folder / "none"});
        const Ran ran = run(words, as_nobody);
        INFO(ran.err);
        CHECK(ran.status == 1);
        CHECK_THAT(ran.err, Catch::EndsWith(": Permission denied: run it as root\n"));
    }
}

TEST_CASE("an address that is none is a wrong usage, and leaves nothing behind", "[any-kernel]") {
    const TemporaryDirectory folder;
    const std::string state = folder / "state";
    const std::string socket = folder / "api.sock";
    const std::string address =
        GENERATE("foo", "127.0.0.1", "127.0.0.1:65536", ":9810", "", "[::1", "[::1:80", "127.0.0.1:80:90");
    const Ran ran = run({"run", "--listen", address, "--state-dir", state, "--socket", socket});
    INFO(ran.err);
    CHECK(ran.status == 2);
    CHECK(ran.err.find("--listen") != std::string::npos);
    CHECK_FALSE(fs::exists(state));
    CHECK_FALSE(fs::exists(socket));
}

TEST_CASE("whoever looks without a service asks the container runtime that an option names, and says why none is") {
    const Home home;
    const auto nowhere = (home / "cri.sock").string();
    const auto [socket, reason] =
        GENERATE_COPY(std::pair(std::string("none"), std::string("no container runtime is asked (--cri-socket none)")),
                      std::pair(nowhere, "no container runtime at " + nowhere));
    INFO(socket);
    const Ran ran = run({"doctor", "-o", "json", "--cri-socket", socket});
    const Json doctor = Json::parse(ran.out);
    if (socket != "none") CHECK(ran.status == 1);
    if (socket != "none") CHECK(doctor["verdict"] == "works with less");
    CHECK(doctor["pods"]["ladder"][0]["rung"] == "cri");
    CHECK(doctor["pods"]["ladder"][0]["reason"] == reason);
    const Words words{"top", "--once", "--socket", home / "none", "--cri-socket", socket};
    const Json top = json_of(run({"top", "--once", "-o", "json", "--socket", home / "none", "--cri-socket", socket}));
    CHECK(top["pods"]["rung"] == doctor["pods"]["rung"]);
    CHECK(top["pods"]["reason"] == reason);
    CHECK(run(words).out.find("pods: named by " + top["pods"]["rung"].get<std::string>() + ": no container runtime") !=
          std::string::npos);
    CHECK(run({"record", home / "file", "--for", "3s", "--socket", home / "none", "--cri-socket", socket}).status == 0);
}

TEST_CASE("a service takes as many descriptors as it may have, and fewer than it needs is said", "[any-kernel]") {
    const Home home;
    home.set_policy(policy_text("few", "mode: observe"));
    const auto limit_to = [](rlim_t soft, rlim_t hard) {
        return [=] {
            const rlimit few{.rlim_cur = soft, .rlim_max = hard};
            ::setrlimit(RLIMIT_NOFILE, &few);
        };
    };
    Running service(home, {.before = limit_to(64, 1024)});
    CHECK(contents(fmt::format("/proc/{}/limits", service.pid())).contains("Max open files            1024 "));
    service.signal(SIGTERM);
    CHECK(service.wait() == 0);

    Service refused(home, {.before = limit_to(64, 64)});
    CHECK(refused.wait() == 1);
    CHECK(mentions(refused.err(), "RLIMIT_NOFILE lets it have 64 descriptors, and it needs 256"));
}
