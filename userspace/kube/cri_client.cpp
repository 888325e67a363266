// SPDX-License-Identifier: Apache-2.0
#include "kube/cri_client.hpp"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/text.hpp"
#include "core/time.hpp"
#include "kube/cri_connection.hpp"
#include "kube/cri_sockets.hpp"
#include "sys/clock.hpp"
#include "sys/fd.hpp"

namespace bpftune::kube {
namespace {

std::string none_at(const CriSockets& sockets) { return fmt::format("no container runtime at {}", sockets.names()); }

} // namespace

std::vector<std::filesystem::path> usual_cri_sockets() {
    return {"/var/run/cri-dockerd.sock", "/run/k3s/containerd/containerd.sock", "/run/crio/crio.sock",
            "/run/containerd/containerd.sock"};
}

namespace {

// Also where an exception ends the block.
template <class Act> class AtEnd {
public:
    explicit AtEnd(Act act) : act_(std::move(act)) {}
    AtEnd(const AtEnd&) = delete;
    AtEnd& operator=(const AtEnd&) = delete;
    ~AtEnd() { act_(); }

private:
    Act act_;
};

} // namespace

struct CriClient::Worker {
    using Path = CriSockets::Path;
    using Answer = CriSockets::Answer;
    explicit Worker(Options chosen) : options(std::move(chosen)), heard(options.sockets), sockets(options.sockets) {}

    const Options options;
    sys::Fd wake;     // an eventfd: `known` has changed
    std::mutex mutex; // over what follows, but for reading `known` in the worker's thread, which alone sets it
    std::condition_variable stirs; // what follows has changed
    bool stops = false;
    bool asked = false;
    bool events_ended = false;        // the connection goes on without them
    CriConnection* current = nullptr; // whose calls are to be cancelled, as those of the next
    CriConnection* other = nullptr;   // that another runtime is asked over meanwhile
    Known known;
    CriSockets heard;                   // `sockets` as of `known`
    CriSockets sockets;                 // the worker's own, as are the next five
    Path wanted;                        // which is tried next, if it is there
    MonoTime tried;                     // when the last listing or connection began
    std::chrono::milliseconds retry{0}; // how long it waits before the next connection
    MonoTime next_look;                 // when others are asked, and the pause before they are again
    std::chrono::milliseconds look_pause{0};
    std::thread thread;

    void run();
    void serve();
    std::optional<Path> serve(const Path& socket);
    std::optional<Path> serve(CriConnection& connection, const Path& socket);
    bool list(CriConnection& connection, const Path& socket);
    std::optional<Path> better_than(const Path& used);
    void ask_other(const Path& socket);
    bool wait_for_turn();
    void wait_to_retry();
    void watch(CriConnection& connection);
    [[nodiscard]] bool has_another_come() const;
    void publish(CriState state, std::shared_ptr<const Listing> listing);
    void fail(const Path& socket, const std::string& why, Answer answer = Answer::none);
    void try_to_fail(const std::exception& error) noexcept;
    void use(CriConnection*& as, CriConnection* connection);
    void stop();
    void ask() { // under the mutex
        asked = true;
        stirs.notify_one();
    }
};

void CriClient::Worker::run() {
    // Whom it serves runs at another priority, and this is in no hurry.
    ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 0);
    for (bool ends = false; !ends;) {
        const MonoTime began = sys::now().mono;
        try {
            serve();
        } catch (const std::exception& error) { // no thread, or no memory, is to be had just now
            try_to_fail(error);
        }
        // A runtime that was restarted is back at once; one that fails again and again is left alone.
        const bool held = sys::now().mono - began >= options.last_retry;
        retry = held ? std::chrono::milliseconds(0) : std::clamp(2 * retry, options.first_retry, options.last_retry);
        wait_to_retry();
        const std::scoped_lock lock(mutex);
        ends = stops;
    }
}

// One connection, as long as it is of use, and those that are better.
void CriClient::Worker::serve() {
    const auto there = sockets.there();
    tried = sys::now().mono;
    if (there.empty()) return fail({}, none_at(sockets));
    const auto found = std::ranges::find(there, wanted);
    std::optional<Path> socket = found != there.end() ? *found : there.front();
    while (socket) socket = serve(*socket);
}

// The socket that is to be served in its place; nullopt: that is not known.
std::optional<CriSockets::Path> CriClient::Worker::serve(const Path& socket) {
    tried = sys::now().mono;
    const auto connection = CriConnection::open(socket, options.owner, options.deadline);
    if (!connection) {
        fail(socket, connection.error().message);
        wanted = sockets.after(socket);
        return std::nullopt;
    }
    use(current, connection->get());
    const AtEnd leaves([this] { use(current, nullptr); });
    return serve(**connection, socket);
}

std::optional<CriSockets::Path> CriClient::Worker::serve(CriConnection& connection, const Path& socket) {
    if (!list(connection, socket)) {
        wanted = sockets.after(socket);
        return std::nullopt;
    }
    wanted = socket;
    next_look = {};
    look_pause = {};
    const std::jthread watcher([&] { watch(connection); });
    const AtEnd ends_it([&] { connection.cancel(); });
    while (wait_for_turn()) {
        if (auto better = better_than(socket)) return better;
        if (!list(connection, socket)) break;
    }
    return std::nullopt;
}

bool CriClient::Worker::list(CriConnection& connection, const Path& socket) {
    tried = sys::now().mono;
    auto listing = connection.list();
    if (!listing) {
        fail(socket, listing.error().message, connection.is_no_runtime() ? Answer::no_runtime : Answer::none);
        return false;
    }
    sockets.note(socket, CriSockets::answer_of(*listing));
    auto told = known.listing && *known.listing == *listing ? known.listing
                                                            : std::make_shared<const Listing>(std::move(*listing));
    publish({.socket = socket,
             .connected = true,
             .unheard = sockets.may_another_know(socket),
             .listings = known.state.listings + 1},
            std::move(told));
    return true;
}

// Another socket than this, which answers, where that is the kubelet's runtime. nullopt: none that is known.
std::optional<CriSockets::Path> CriClient::Worker::better_than(const Path& used) {
    const MonoTime now = sys::now().mono;
    const bool has_come = sockets.has_another_come(used);
    if (now < next_look && !has_come) return std::nullopt;
    look_pause = has_come ? options.first_retry : std::clamp(2 * look_pause, options.first_retry, options.last_retry);
    next_look = now + look_pause;
    for (const Path& socket : sockets.others_to_ask(used)) {
        ask_other(socket);
        if (sockets.is_preferred(socket, used)) return socket;
    }
    return std::nullopt;
}

void CriClient::Worker::ask_other(const Path& socket) {
    const auto connection = CriConnection::open(socket, options.owner, options.deadline);
    if (!connection) return sockets.note(socket, Answer::none);
    use(other, connection->get());
    const AtEnd leaves([this] { use(other, nullptr); });
    const auto listing = (*connection)->list();
    const Answer none = (*connection)->is_no_runtime() ? Answer::no_runtime : Answer::none;
    sockets.note(socket, listing ? CriSockets::answer_of(*listing) : none);
}

// Whether another listing of this connection follows.
bool CriClient::Worker::wait_for_turn() {
    std::unique_lock lock(mutex);
    const auto longest = known.state.events ? options.poll_with_events : options.poll;
    stirs.wait_until(lock, tried + longest, [&] { return stops || events_ended || asked; });
    stirs.wait_until(lock, tried + options.least_pause, [&] { return stops; });
    asked = false;
    return !stops && !events_ended;
}

void CriClient::Worker::wait_to_retry() {
    std::unique_lock lock(mutex);
    const auto soonest = std::min(retry, options.first_retry);
    stirs.wait_until(lock, tried + soonest, [&] { return stops; });
    stirs.wait_until(lock, tried + retry, [&] { return stops || asked; });
    asked = false;
    events_ended = false;
}

// In a thread of its own: each event asks for a listing. Where the runtime ends them, all is begun again.
void CriClient::Worker::watch(CriConnection& connection) {
    CriConnection::Events ended{};
    try {
        ended = connection.watch([&] {
            const std::scoped_lock lock(mutex);
            known.state.events = true;
            ask();
        });
    } catch (const std::exception&) {
        ended = CriConnection::Events::ended; // no memory is to be had just now
    }
    if (ended == CriConnection::Events::not_served) return;
    const std::scoped_lock lock(mutex);
    events_ended = true;
    stirs.notify_one();
}

// Since `known` was told; to be asked under the mutex. Before the first try all are.
bool CriClient::Worker::has_another_come() const {
    const CriState& state = known.state;
    const bool has_been_tried = state.connected || !state.error.empty();
    return has_been_tried && !state.unheard && heard.may_another_know(state.connected ? state.socket : Path());
}

void CriClient::Worker::publish(CriState state, std::shared_ptr<const Listing> listing) {
    const std::scoped_lock lock(mutex);
    state.events = state.connected && known.state.events;
    known = {.listing = std::move(listing), .state = std::move(state)};
    heard = sockets;
    ::eventfd_write(wake.value(), 1);
}

// What was known stays so. A call that was cancelled is no news.
void CriClient::Worker::fail(const Path& socket, const std::string& why, Answer answer) {
    if (!socket.empty()) sockets.note(socket, answer);
    const std::string error = socket.empty() ? why : printable(socket.native()) + " " + why;
    publish(
        {.socket = socket, .unheard = sockets.may_another_know({}), .error = error, .listings = known.state.listings},
        known.listing);
}

void CriClient::Worker::try_to_fail(const std::exception& error) noexcept {
    try {
        fail({}, printable(error.what()));
    } catch (const std::exception&) {
        retry = options.last_retry; // nor is the memory to say so, which the next try may have
    }
}

void CriClient::Worker::use(CriConnection*& as, CriConnection* connection) {
    const std::scoped_lock lock(mutex);
    as = connection;
    if (&as == &current) known.state.events = events_ended = false; // of another connection
    if (stops && connection != nullptr) connection->cancel();
}

void CriClient::Worker::stop() {
    {
        const std::scoped_lock lock(mutex);
        stops = true;
        for (CriConnection* connection : {current, other})
            if (connection != nullptr) connection->cancel();
        stirs.notify_one();
    }
    thread.join();
}

Result<std::unique_ptr<CriClient>> CriClient::start(Options options) {
    auto worker = std::make_unique<Worker>(std::move(options));
    worker->wake = sys::Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!worker->wake) return system_failure(errno, "eventfd");
    worker->thread = std::thread([&state = *worker] { state.run(); });
    return std::unique_ptr<CriClient>(new CriClient(std::move(worker)));
}

Result<> check_runtime(const CriClient::Options& options) {
    std::string errors;
    const CriSockets sockets(options.sockets);
    for (const std::filesystem::path& socket : sockets.there()) {
        const auto connection = CriConnection::open(socket, options.owner, options.deadline);
        const auto listing = connection ? (*connection)->list() : std::unexpected(connection.error());
        if (listing) return {};
        errors +=
            fmt::format("{}{} {}", errors.empty() ? "" : "; ", printable(socket.native()), listing.error().message);
    }
    return failure("{}", errors.empty() ? none_at(sockets) : errors);
}

CriClient::CriClient(std::unique_ptr<Worker> worker) : worker_(std::move(worker)) {}

CriClient::~CriClient() { worker_->stop(); }

int CriClient::fd() const { return worker_->wake.value(); }

CriClient::Known CriClient::take() {
    const std::scoped_lock lock(worker_->mutex);
    eventfd_t ignored = 0;
    ::eventfd_read(worker_->wake.value(), &ignored);
    Known known = worker_->known;
    if (worker_->has_another_come()) {
        known.state.unheard = true;
        worker_->ask();
    }
    return known;
}

void CriClient::ask() {
    const std::scoped_lock lock(worker_->mutex);
    worker_->ask();
}

} // namespace bpftune::kube
