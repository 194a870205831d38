use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use sha2::{Digest, Sha256};
use smoltcp::socket::tcp::State;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::guest::{open, syn};

const PATIENCE: Duration = Duration::from_secs(30);

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    timeout(PATIENCE, listener.accept()).await.unwrap().unwrap().0
}

async fn echo(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let (mut read, mut write) = stream.split();
            // The guest may break off.
            if tokio::io::copy(&mut read, &mut write).await.is_ok() {
                write.shutdown().await.unwrap();
            }
        });
    }
}

/// Bytes that repeat only after a long while, and not at the length of any buffer.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

#[tokio::test]
async fn echoes_over_ipv4_and_ipv6_and_closes_in_order() {
    let v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.unwrap();
    let (v4, v4_address) = listen().await;
    let addresses = [v4_address, v6.local_addr().unwrap()];
    tokio::spawn(echo(v4));
    tokio::spawn(echo(v6));
    let (_door, mut guest) = open(&addresses);
    for address in addresses {
        let (socket, state) = guest.connected(address).await;
        assert_eq!(state, State::Established);
        guest.send(socket, b"first").await;
        assert_eq!(guest.receive(socket, 5).await, b"first");
        guest.send(socket, b"second").await;
        guest.tcp(socket).close();
        assert_eq!(guest.receive_all(socket).await, b"second");
        guest
            .until(|guest| matches!(guest.tcp(socket).state(), State::TimeWait | State::Closed).then_some(()))
            .await;
        assert_eq!(
            guest.seen_syn_and_rst(),
            (true, false),
            "an orderly connection needs no reset"
        );
    }
}

#[tokio::test]
async fn carries_many_megabytes_both_ways_at_once() {
    const LENGTH: usize = 32 << 20;
    let (listener, address) = listen().await;
    let (up, down) = (noise(LENGTH, 1), noise(LENGTH, 2));
    let sent = down.clone();
    let server = tokio::spawn(async move {
        let (mut read, mut write) = accept(&listener).await.into_split();
        let writing = tokio::spawn(async move {
            write.write_all(&sent).await.unwrap();
            write.shutdown().await.unwrap();
        });
        let mut received = Vec::new();
        read.read_to_end(&mut received).await.unwrap();
        writing.await.unwrap();
        received
    });
    let (_door, mut guest) = open(&[address]);
    let (socket, _) = guest.connected(address).await;
    let (mut sent, mut received) = (0, Vec::new());
    guest
        .until(|guest| {
            let socket = guest.tcp(socket);
            if sent < LENGTH {
                sent += socket.send_slice(&up[sent..]).unwrap();
                if sent == LENGTH {
                    socket.close();
                }
            }
            while socket.can_recv() {
                socket
                    .recv(|bytes| (bytes.len(), received.extend_from_slice(bytes)))
                    .unwrap();
            }
            (sent == LENGTH && received.len() >= LENGTH).then_some(())
        })
        .await;
    guest
        .until(|guest| matches!(guest.tcp(socket).state(), State::TimeWait | State::Closed).then_some(()))
        .await;
    assert_eq!(Sha256::digest(&received), Sha256::digest(&down));
    assert_eq!(Sha256::digest(server.await.unwrap()), Sha256::digest(&up));
}

#[tokio::test]
async fn the_guest_may_close_its_half_and_go_on_reading() {
    let (listener, address) = listen().await;
    let (_door, mut guest) = open(&[address]);
    let (socket, _) = guest.connected(address).await;
    let mut far = accept(&listener).await;
    guest.send(socket, b"question").await;
    guest.tcp(socket).close();
    let answering = tokio::spawn(async move {
        let mut question = String::new();
        far.read_to_string(&mut question).await.unwrap();
        far.write_all(format!("answer to {question}").as_bytes()).await.unwrap();
    });
    assert_eq!(guest.receive_all(socket).await, b"answer to question");
    answering.await.unwrap();
}

#[tokio::test]
async fn the_far_end_may_close_its_half_and_go_on_reading() {
    let (listener, address) = listen().await;
    let (_door, mut guest) = open(&[address]);
    let (socket, _) = guest.connected(address).await;
    let mut far = accept(&listener).await;
    far.write_all(b"all I have to say").await.unwrap();
    far.shutdown().await.unwrap();
    assert_eq!(guest.receive_all(socket).await, b"all I have to say");
    assert_eq!(guest.tcp(socket).state(), State::CloseWait);
    guest.send(socket, b"but listen").await;
    guest.tcp(socket).close();
    let reading = tokio::spawn(async move {
        let mut heard = String::new();
        far.read_to_string(&mut heard).await.unwrap();
        heard
    });
    guest
        .until(|guest| (guest.tcp(socket).state() == State::Closed).then_some(()))
        .await;
    assert_eq!(reading.await.unwrap(), "but listen");
}

#[tokio::test]
async fn bytes_sent_before_closing_arrive_although_the_far_end_reads_late() {
    const LENGTH: usize = 4 << 20;
    let (listener, address) = listen().await;
    let (_door, mut guest) = open(&[address]);
    let (socket, _) = guest.connected(address).await;
    let mut far = accept(&listener).await;
    // The far end is done at once, and reads only after the guest has written all that the door takes from it.
    far.shutdown().await.unwrap();
    guest
        .until(|guest| (guest.tcp(socket).state() == State::CloseWait).then_some(()))
        .await;
    let bytes = noise(LENGTH, 3);
    let (mut sent, mut stalled) = (0, 0);
    while sent < LENGTH && stalled < 50 {
        let more = guest.tcp(socket).send_slice(&bytes[sent..]).unwrap();
        sent += more;
        stalled = if more == 0 { stalled + 1 } else { 0 };
        let mut rounds = 0;
        guest
            .until(|_| {
                rounds += 1;
                (rounds > 1).then_some(())
            })
            .await;
    }
    let reading = tokio::spawn(async move {
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.unwrap();
        received
    });
    guest.send(socket, &bytes[sent..]).await;
    guest.tcp(socket).close();
    guest
        .until(|guest| (guest.tcp(socket).state() == State::Closed).then_some(()))
        .await;
    assert!(reading.await.unwrap() == bytes, "what was sent did not arrive");
}

#[tokio::test]
async fn a_refused_destination_gets_a_reset_and_no_handshake() {
    let (listener, address) = listen().await;
    let (_door, mut guest) = open(&[]);
    for refused in [
        address.to_string().as_str(),
        "10.255.0.1:80",
        "169.254.169.254:80",
        "[::1]:80",
        "[fd00::1]:443",
    ] {
        let (_, state) = guest.connected(refused.parse().unwrap()).await;
        assert_eq!(state, State::Closed, "{refused}");
        assert_eq!(guest.seen_syn_and_rst(), (false, true), "{refused}");
    }
    let nobody = std::future::poll_fn(|cx| std::task::Poll::Ready(listener.poll_accept(cx).is_pending())).await;
    assert!(nobody, "the door connected to what it refused");
}

#[tokio::test]
async fn a_refusal_from_outside_is_a_refusal_inside() {
    let (listener, address) = listen().await;
    drop(listener);
    let (_door, mut guest) = open(&[address]);
    let (_, state) = guest.connected(address).await;
    assert_eq!(state, State::Closed);
    assert_eq!(guest.seen_syn_and_rst(), (false, true));
}

#[tokio::test]
async fn a_reset_passes_from_the_guest_to_the_far_end() {
    let (listener, address) = listen().await;
    let (_door, mut guest) = open(&[address]);
    let (socket, _) = guest.connected(address).await;
    let mut far = accept(&listener).await;
    guest.send(socket, b"half a messa").await;
    let mut read = [0; 12];
    timeout(PATIENCE, far.read_exact(&mut read)).await.unwrap().unwrap();
    guest.tcp(socket).abort();
    guest
        .until(|guest| guest.tcp(socket).remote_endpoint().is_none().then_some(()))
        .await;
    let error = timeout(PATIENCE, far.read(&mut read)).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_reset_passes_from_the_far_end_to_the_guest() {
    let (listener, address) = listen().await;
    let (_door, mut guest) = open(&[address]);
    let (socket, _) = guest.connected(address).await;
    let far = accept(&listener).await;
    far.set_zero_linger().unwrap();
    drop(far);
    guest
        .until(|guest| (guest.tcp(socket).state() == State::Closed).then_some(()))
        .await;
    assert!(guest.seen_syn_and_rst().1, "closed without a reset");
}

#[tokio::test]
async fn a_handshake_that_the_guest_breaks_off_ends_at_the_far_end_too() {
    let (listener, address) = listen().await;
    let (_door, mut guest) = open(&[address]);
    // The guest's stack knows nothing of this SYN, and resets what it leads to.
    guest.send_packet(syn(9000, address, &[])).await;
    let accepting = tokio::spawn(async move {
        let mut far = accept(&listener).await;
        let error = timeout(PATIENCE, far.read(&mut [0; 1])).await.unwrap().unwrap_err();
        (listener, error.kind())
    });
    guest.until(|guest| guest.seen_syn_and_rst().0.then_some(())).await;
    let (listener, error) = accepting.await.unwrap();
    assert_eq!(error, std::io::ErrorKind::ConnectionReset);
    // An option of no length is a SYN that the door's stack does not read.
    guest.send_packet(syn(9001, address, &[2, 0, 0, 0])).await;
    let mut far = accept(&listener).await;
    let error = timeout(PATIENCE, far.read(&mut [0; 1])).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_port_can_be_used_again_at_once() {
    let (listener, address) = listen().await;
    tokio::spawn(echo(listener));
    let (_door, mut guest) = open(&[address]);
    for round in 0..20_u8 {
        guest.rewind_ports();
        let (socket, state) = guest.connected(address).await;
        assert_eq!(state, State::Established, "round {round}");
        guest.send(socket, &[round]).await;
        assert_eq!(guest.receive(socket, 1).await, [round]);
        guest.tcp(socket).abort();
        guest
            .until(|guest| guest.tcp(socket).remote_endpoint().is_none().then_some(()))
            .await;
        guest.sockets.remove(socket);
    }
}

#[tokio::test]
async fn more_connections_than_allowed_are_refused_and_ended_ones_make_room() {
    use super::super::door::MAX_CONNECTIONS;

    let (listener, address) = listen().await;
    let (_door, mut guest) = open(&[address]);
    guest.use_small_buffers();
    let holding = tokio::spawn(async move {
        let mut held = Vec::new();
        while held.len() < MAX_CONNECTIONS {
            held.push(listener.accept().await.unwrap().0);
        }
        (held, listener)
    });
    let mut sockets = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        let (socket, state) = guest.connected(address).await;
        assert_eq!(state, State::Established);
        sockets.push(socket);
    }
    let (mut held, _listener) = holding.await.unwrap();
    let (_, state) = guest.connected(address).await;
    assert_eq!(state, State::Closed, "one connection too many");
    held.pop().unwrap().set_zero_linger().unwrap();
    let last = sockets[MAX_CONNECTIONS - 1];
    guest
        .until(|guest| (guest.tcp(last).state() == State::Closed).then_some(()))
        .await;
    let (_, state) = guest.connected(address).await;
    assert_eq!(state, State::Established, "an ended connection made no room");
}

#[tokio::test]
async fn connections_that_are_being_made_are_bounded_and_given_up_with_the_guest() {
    use super::super::door::MAX_CONNECTIONS;

    // A listener whose queue is full answers nobody.
    let silent = tokio::net::TcpSocket::new_v4().unwrap();
    silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let silent = silent.listen(1).unwrap();
    let silent_address = silent.local_addr().unwrap();
    let _queued = [
        TcpStream::connect(silent_address).await.unwrap(),
        TcpStream::connect(silent_address).await.unwrap(),
    ];
    let (listener, address) = listen().await;
    tokio::spawn(echo(listener));
    let (_door, mut guest) = open(&[silent_address, address]);
    guest.use_small_buffers();
    let waiting: Vec<_> = (0..MAX_CONNECTIONS).map(|_| guest.connect(silent_address)).collect();
    let (_, state) = guest.connected(address).await;
    assert_eq!(state, State::Closed, "one connection too many");
    for socket in &waiting {
        assert_eq!(guest.tcp(*socket).state(), State::SynSent, "the handshake was not held");
    }
    assert_eq!(guest.seen_syn_and_rst(), (false, true));
    guest.tcp(waiting[0]).abort();
    let mut state = State::Closed;
    while state == State::Closed {
        (_, state) = guest.connected(address).await;
    }
    assert_eq!(state, State::Established, "what the guest gave up made no room");
}

#[tokio::test]
async fn dropping_the_door_ends_its_connections_and_closes_the_device() {
    let (listener, address) = listen().await;
    let (door, mut guest) = open(&[address]);
    let (socket, _) = guest.connected(address).await;
    let mut far = accept(&listener).await;
    guest.send(socket, b"x").await;
    let mut read = [0; 1];
    timeout(PATIENCE, far.read_exact(&mut read)).await.unwrap().unwrap();
    drop(door);
    let error = timeout(PATIENCE, far.read(&mut read)).await.unwrap().unwrap_err();
    assert_eq!(
        error.kind(),
        std::io::ErrorKind::ConnectionReset,
        "an unfinished connection looked finished"
    );
    guest.until_closed().await;
}

#[tokio::test]
async fn the_door_closes_when_the_device_goes_away() {
    let (listener, address) = listen().await;
    let (door, mut guest) = open(&[address]);
    guest.connected(address).await;
    let mut far = accept(&listener).await;
    drop(guest);
    let read = timeout(PATIENCE, far.read(&mut [0; 1])).await.unwrap();
    assert!(read.is_err(), "the connection outlived the sandbox");
    timeout(PATIENCE, async {
        while !door.is_closed() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}
