//! `responder NAME ADDRESS:PORT…`: repeats what it is sent, with its name before it.
//!
//! UDP on each address given, bound to it, so that the answer comes from the virtual address that was asked; TCP on
//! the same ports of all addresses, line by line.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use anyhow::{Context, Result, ensure};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().context("usage: responder NAME ADDRESS:PORT…")?;
    let addresses = arguments
        .map(|text| {
            text.parse()
                .with_context(|| format!("{text} is no address and port"))
        })
        .collect::<Result<Vec<SocketAddr>>>()?;
    ensure!(!addresses.is_empty(), "usage: responder NAME ADDRESS:PORT…");
    let sockets = addresses
        .iter()
        .map(|address| UdpSocket::bind(address).with_context(|| format!("cannot bind to {address}")))
        .collect::<Result<Vec<_>>>()?;
    let mut ports: Vec<u16> = addresses.iter().map(SocketAddr::port).collect();
    ports.sort_unstable();
    ports.dedup();
    let listeners = ports
        .into_iter()
        .map(|port| {
            TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
                .with_context(|| format!("cannot listen on {port}"))
        })
        .collect::<Result<Vec<_>>>()?;
    thread::scope(|scope| {
        for socket in &sockets {
            scope.spawn(|| repeat_datagrams(socket, &name));
        }
        for listener in &listeners {
            let name = &name;
            scope.spawn(move || {
                for stream in listener.incoming().flatten() {
                    scope.spawn(move || repeat_lines(stream, name));
                }
            });
        }
    });
    Ok(())
}

/// Answers until the process is killed. A datagram that fails is the sender's to miss.
fn repeat_datagrams(socket: &UdpSocket, name: &str) {
    let mut buffer = [0; 2048];
    loop {
        let Ok((length, sender)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        let answer = [name.as_bytes(), b" ", &buffer[..length]].concat();
        drop(socket.send_to(&answer, sender));
    }
}

/// Answers until the client goes away.
fn repeat_lines(stream: TcpStream, name: &str) {
    let Ok(reader) = stream.try_clone() else {
        return;
    };
    drop(stream.set_nodelay(true));
    let mut stream = stream;
    for line in BufReader::new(reader).lines().map_while(Result::ok) {
        if stream.write_all(format!("{name} {line}\n").as_bytes()).is_err() {
            return;
        }
    }
}
