// SPDX-License-Identifier: Apache-2.0
// The policy file: at start, and when it changes under a running service.
#include <sys/stat.h>

#include "fixtures.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

std::string named(const std::string& name, const std::string& mode = "observe") {
    return policy_text(name, "mode: " + mode);
}

// The way that kubelet shows a ConfigMap: FOLDER/policy.yaml -> ..data/policy.yaml, ..data -> ..VERSION.
void show_version(const fs::path& folder, const std::string& version, const std::string& text) {
    fs::create_directories(folder / (".." + version));
    write_text(folder / (".." + version) / "policy.yaml", text);
    fs::create_directory_symlink(".." + version, folder / "..data_tmp");
    fs::rename(folder / "..data_tmp", folder / "..data");
    if (!fs::is_symlink(folder / "policy.yaml")) fs::create_symlink("..data/policy.yaml", folder / "policy.yaml");
}

constexpr auto misspelt = "mode: automatic";

} // namespace

TEST_CASE("a changed policy is taken on SIGHUP", "[any-kernel]") {
    const Home home;
    home.set_policy(named("first"));
    Running service(home);
    service.signal(SIGHUP);
    CHECK(service.says("policy: SIGHUP: 'first' loaded, mode observe"));
}

TEST_CASE("what a policy names in vain is said with its place, at start and when it is taken again", "[any-kernel]") {
    const auto expecting = [](const std::string& name, const std::string& sysctl) {
        return named(name) + "  expect: {" + sysctl + ": 1}\n";
    };
    const auto line = [](const std::string& text) { return std::to_string(std::ranges::count(text, '\n')); };
    const Home home;
    const std::string first = expecting("first", "net.ipv4.tcp_low_latency");
    home.set_policy(first);
    Running service(home);
    CHECK(service.says(home.policy().string() + ":" + line(first) +
                       ":12: net.ipv4.tcp_low_latency does nothing here: nothing reads it since 4.14"));
    home.set_policy(expecting("second", "net.ipv6.route.max_size")); // which is known by what a new namespace has
    CHECK(service.says("'second' loaded"));
    home.set_policy(expecting("third", "net.ipv4.tcp_tw_recycle"));
    CHECK(service.says("net.ipv4.tcp_tw_recycle does nothing here: Linux has it no more since 4.12"));
    const Namespace fresh;
    const bool is_bound = !fresh.read("sys/net/ipv6/route/max_size").starts_with("2147483647");
    CHECK(service.err().contains("net.ipv6.route.max_size does nothing here") == !is_bound);
}

TEST_CASE("a changed policy is taken when it is written in place", "[any-kernel]") {
    const Home home;
    home.set_policy(named("first"));
    Running service(home);
    home.set_policy(named("second", "recommend"));
    CHECK(service.says("'second' loaded, mode recommend"));
    CHECK(home.top()["mode"] == "recommend");
}

TEST_CASE("a changed policy is taken when another file is renamed over it", "[any-kernel]") {
    const Home home;
    home.set_policy(named("first"));
    Running service(home);
    for (const std::string name : {"second", "third"}) {
        write_text(home / "new", named(name));
        fs::rename(home / "new", home.policy());
        CHECK(service.says("'" + name + "' loaded"));
    }
}

TEST_CASE("a changed policy is taken when a ConfigMap's symlink is swapped", "[any-kernel]") {
    const Home home;
    const fs::path folder = home / "config";
    show_version(folder, "v1", named("first"));
    Running service(home, {.policy = folder / "policy.yaml"});
    for (const std::string name : {"second", "third"}) {
        const fs::path before = folder / fs::read_symlink(folder / "..data");
        show_version(folder, name, named(name));
        fs::remove_all(before);
        CHECK(service.says("'" + name + "' loaded"));
    }
}

TEST_CASE("a broken policy on reload leaves the old one in force, and says so", "[any-kernel]") {
    const Home home;
    home.set_policy(named("first", "recommend"));
    Running service(home);
    CHECK_FALSE(home.top().contains("policy_error"));

    home.set_policy(policy_text("second", misspelt));
    std::string error; // what is said first may be about a file that is still empty
    REQUIRE(comes_true([&] {
        error = home.top().value("policy_error", "");
        return error.starts_with(home.policy().string() + ":5:9: error: ");
    }));
    CHECK(error.find("hint: write one of observe, recommend, auto") != std::string::npos);
    CHECK(service.err().find(error) != std::string::npos);
    CHECK(home.top()["mode"] == "recommend");

    home.set_policy(named("third"));
    CHECK(service.says("'third' loaded"));
    CHECK_FALSE(home.top().contains("policy_error"));
}

TEST_CASE("a policy that is deleted leaves the old one in force, and says so", "[any-kernel]") {
    const Home home;
    home.set_policy(named("first", "recommend"));
    const Running service(home);
    fs::remove(home.policy());
    REQUIRE(comes_true([&] { return home.top().contains("policy_error"); }));
    CHECK(home.top()["mode"] == "recommend");
}

TEST_CASE("a pipe in the place of the policy is waited for by nobody: the old one stays, and the service ends as asked",
          "[any-kernel]") {
    const Home home;
    home.set_policy(named("first", "recommend"));
    Running service(home);
    fs::remove(home.policy());
    must(::mkfifo(home.policy().c_str(), 0600) == 0, "mkfifo");
    service.signal(SIGHUP);
    REQUIRE(comes_true([&] { return home.top().contains("policy_error"); }));
    CHECK(home.top()["policy_error"].get<std::string>().contains("is not a regular file"));
    CHECK(home.top()["mode"] == "recommend");
    service.signal(SIGTERM);
    CHECK(service.wait() == 0);
}

TEST_CASE("a pipe, or a policy that another user could write, is no policy to start with", "[any-kernel]") {
    const Home home;
    const auto refused = [&](const std::string& why) {
        Service service(home);
        CHECK(service.wait() == 2);
        CHECK_THAT(service.err(), Catch::Contains(why));
        CHECK_FALSE(fs::exists(home.state()));
    };
    must(::mkfifo(home.policy().c_str(), 0600) == 0, "mkfifo");
    refused("policy.yaml is not a regular file");
    fs::remove(home.policy());
    home.set_policy(named("first"));
    fs::permissions(home.policy(), fs::perms{0646});
    refused("can be written by others than its owner (mode 0646): `chmod go-w ");
    fs::permissions(home.policy(), fs::perms{0644});
    must(::chown(home.policy().c_str(), 65534, 65534) == 0, "chown");
    refused("belongs to user 65534, who could have this service do as it says: `chown 0 ");
}

TEST_CASE("a user checks a policy of his own, whoever may write it", "[any-kernel]") {
    const Home home;
    home.set_policy(named("first"));
    fs::permissions(home.policy(), fs::perms{0666});
    fs::permissions(home / ".", fs::perms{0755});
    must(::chown(home.policy().c_str(), 65534, 65534) == 0, "chown");
    const Ran checked =
        run({"policy", "check", home.policy()}, [] { must(::setresuid(65534, 65534, 65534) == 0, "become nobody"); });
    INFO(checked.err);
    CHECK(checked.status == 0);
}

TEST_CASE("a broken policy at start is exit 2 and its diagnostics", "[any-kernel]") {
    const Home home;
    home.set_policy(policy_text("first", misspelt));
    Service service(home);
    CHECK(service.wait() == 2);
    const Ran check = run({"policy", "check", home.policy()});
    CHECK(check.status == 2);
    CHECK(service.err() == check.err);
    CHECK(check.err.find(home.policy().string() + ":5:9: error: ") == 0);
    CHECK(check.out.empty());
    CHECK_FALSE(fs::exists(home.state()));
}

TEST_CASE("a policy that is named but not there is an error at start", "[any-kernel]") {
    const Home home;
    Service service(home);
    CHECK(service.wait() != 0);
    CHECK(service.err().find(home.policy()) != std::string::npos);
}
