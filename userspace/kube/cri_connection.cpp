// SPDX-License-Identifier: Apache-2.0
#include "kube/cri_connection.hpp"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include <fmt/chrono.h>
#include <grpc/support/log.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "core/text.hpp"
#include "cri.grpc.pb.h"
#include "kube/cri_listing.hpp"
#include "kube/cri_relay.hpp"
#include "sys/fd.hpp"

namespace bpftune::kube {
namespace {

namespace cri = ::runtime::v1;

// What kubelet takes of a runtime, and what containerd sends at most; CRI-O sends 80 MiB. The same with its frames.
constexpr int longest_answer_bytes = 16 << 20;
constexpr std::size_t most_bytes_for_an_answer = std::size_t{17} << 20;
constexpr std::size_t longest_message_bytes = 200; // of the runtime's own words for an error

Result<> check_file(const std::filesystem::path& path, uid_t owner) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) return system_failure(errno, "cannot be looked at");
    if (!S_ISSOCK(status.st_mode)) return failure("is no socket");
    if (status.st_uid != owner) return failure("belongs to user {}, not to user {}", status.st_uid, owner);
    return {};
}

// Who listens there may be another than who owns the file.
Result<> check_server(const sys::Fd& socket, uid_t owner) {
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(socket.value(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        return system_failure(errno, "cannot tell who serves it");
    if (peer.uid != owner) return failure("is served by user {}, not by user {}", peer.uid, owner);
    return {};
}

Result<sys::Fd> connect_to(const std::filesystem::path& path, uid_t owner) {
    if (const auto checked = check_file(path, owner); !checked) return std::unexpected(checked.error());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string& name = path.native();
    if (name.size() >= sizeof address.sun_path) return failure("has a path that is too long for a socket");
    std::memcpy(address.sun_path, name.c_str(), name.size() + 1);
    sys::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return system_failure(errno, "no socket to reach it by");
    if (::connect(socket.value(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return system_failure(errno, "cannot be connected to");
    if (const auto checked = check_server(socket, owner); !checked) return std::unexpected(checked.error());
    return socket;
}

std::shared_ptr<grpc::Channel> make_channel(sys::Fd socket) {
    gpr_set_log_function([](gpr_log_func_args*) {}); // its errors come back as values
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(longest_answer_bytes);
    arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0); // of no use within one machine
    arguments.SetInt(GRPC_ARG_ENABLE_CHANNELZ, 0);
    return grpc::CreateCustomInsecureChannelFromFd("cri", socket.release(), arguments);
}

// containerd before 2.0 tells each event to one of those who watch (containerd/containerd#7318).
bool tells_everybody(const cri::VersionResponse& version) {
    if (version.runtime_name() != "containerd") return true;
    const std::string& text = version.runtime_version();
    const char* const begin = text.data() + (text.starts_with('v') ? 1 : 0);
    int major = 0;
    std::from_chars(begin, text.data() + text.size(), major);
    return major >= 2;
}

std::string too_much() { return fmt::format("answers with more than {} MiB", longest_answer_bytes >> 20); }

std::string in_words(const grpc::Status& status, std::chrono::milliseconds deadline) {
    const std::string said = printable(status.error_message().substr(0, longest_message_bytes));
    switch (status.error_code()) {
    case grpc::DEADLINE_EXCEEDED: return fmt::format("has not answered within {}", deadline);
    case grpc::UNIMPLEMENTED: return "does not speak CRI v1";
    case grpc::RESOURCE_EXHAUSTED: return too_much();
    case grpc::UNAVAILABLE: return fmt::format("has gone away: {}", said);
    default: return fmt::format("answers with an error: {}", said);
    }
}

} // namespace

struct CriConnection::Channel {
    std::unique_ptr<CriRelay> relay;
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<cri::RuntimeService::Stub> stub;
    std::chrono::milliseconds deadline;
    cri::VersionResponse version; // once the runtime has told it
    bool has_version = false;
    bool is_no_runtime = false;
    std::mutex mutex; // over what follows
    std::set<grpc::ClientContext*> calls;
    bool cancelled = false;

    grpc::Status read_version();
    template <class Request> grpc::Status read(const char* method, grpc::ByteBuffer& answer);
};

namespace {

// A call that cancel() knows of while it lasts.
template <class Channel> class Call {
public:
    explicit Call(Channel& channel) : channel_(channel) {
        channel_.relay->allow();
        const std::scoped_lock lock(channel_.mutex);
        channel_.calls.insert(&context);
        if (channel_.cancelled) context.TryCancel();
    }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    ~Call() {
        const std::scoped_lock lock(channel_.mutex);
        channel_.calls.erase(&context);
    }
    grpc::ClientContext context;

private:
    Channel& channel_;
};

} // namespace

grpc::Status CriConnection::Channel::read_version() {
    if (has_version) return grpc::Status::OK;
    Call call(*this);
    call.context.set_deadline(std::chrono::system_clock::now() + deadline);
    const grpc::Status status = stub->Version(&call.context, {}, &version);
    has_version = status.ok();
    is_no_runtime = status.error_code() == grpc::UNIMPLEMENTED;
    return status;
}

// The answer as it came: as one message it would take many times the memory.
template <class Request> grpc::Status CriConnection::Channel::read(const char* method, grpc::ByteBuffer& answer) {
    Call call(*this);
    call.context.set_deadline(std::chrono::system_clock::now() + deadline);
    grpc::CompletionQueue queue;
    grpc::TemplatedGenericStub<Request, grpc::ByteBuffer> generic(channel);
    const auto reader = generic.PrepareUnaryCall(&call.context, method, Request(), &queue);
    grpc::Status status;
    reader->StartCall();
    reader->Finish(&answer, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    queue.Shutdown();
    while (queue.Next(&tag, &ok)) {
    }
    return status;
}

Result<std::unique_ptr<CriConnection>> CriConnection::open(const std::filesystem::path& socket, uid_t owner,
                                                           std::chrono::milliseconds deadline) {
    auto connected = connect_to(socket, owner);
    if (!connected) return std::unexpected(connected.error());
    auto relay = CriRelay::start(std::move(*connected), most_bytes_for_an_answer);
    if (!relay) return std::unexpected(relay.error());
    auto channel = std::make_unique<Channel>();
    channel->relay = std::move(*relay);
    channel->channel = make_channel(channel->relay->take_inner());
    channel->stub = cri::RuntimeService::NewStub(channel->channel);
    channel->deadline = deadline;
    return std::unique_ptr<CriConnection>(new CriConnection(std::move(channel)));
}

CriConnection::CriConnection(std::unique_ptr<Channel> channel) : channel_(std::move(channel)) {}

CriConnection::~CriConnection() = default;

Result<Listing> CriConnection::list() {
    // Containers first: so each has its sandbox in what comes second.
    grpc::ByteBuffer containers;
    grpc::ByteBuffer sandboxes;
    grpc::Status status = channel_->read_version();
    if (status.ok())
        status = channel_->read<cri::ListContainersRequest>("/runtime.v1.RuntimeService/ListContainers", containers);
    if (status.ok())
        status = channel_->read<cri::ListPodSandboxRequest>("/runtime.v1.RuntimeService/ListPodSandbox", sandboxes);
    if (channel_->relay->has_exceeded()) return failure("{}", too_much());
    if (!status.ok()) return failure("{}", in_words(status, channel_->deadline));
    grpc::ProtoBufferReader sandbox_reader(&sandboxes);
    grpc::ProtoBufferReader container_reader(&containers);
    return to_listing(channel_->version, sandbox_reader, container_reader);
}

bool CriConnection::is_no_runtime() const { return channel_->is_no_runtime; }

CriConnection::Events CriConnection::watch(const std::function<void()>& happened) {
    if (!tells_everybody(channel_->version)) return Events::not_served;
    Call call(*channel_);
    const auto events = channel_->stub->GetContainerEvents(&call.context, {});
    cri::ContainerEventResponse event;
    bool has_told = false;
    for (; events->Read(&event); has_told = true) {
        channel_->relay->allow();
        happened();
    }
    // CRI-O whose events are turned off ends them at once, without an error.
    const auto code = events->Finish().error_code();
    const bool was_cut = code == grpc::UNAVAILABLE || code == grpc::CANCELLED;
    return has_told || was_cut ? Events::ended : Events::not_served;
}

void CriConnection::cancel() {
    const std::scoped_lock lock(channel_->mutex);
    channel_->cancelled = true;
    for (grpc::ClientContext* call : channel_->calls) call->TryCancel();
}

} // namespace bpftune::kube
