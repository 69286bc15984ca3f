//! A network of its own for one process, joined to ours by a pair of virtual cards. It is gone with the process that
//! holds it, so nothing is left behind however the test ends.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::eventually;
use super::process::spawn;

pub struct Netns {
    /// Our end of the wire.
    pub address: IpAddr,
    holder: Child,
    card: String,
}

impl Netns {
    /// `Err` names the missing tool or right in a word or two.
    pub async fn open() -> Result<Self, &'static str> {
        if !nix::unistd::Uid::effective().is_root() {
            return Err("root");
        }
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "infinity"]).stdin(Stdio::null()).stderr(Stdio::null());
        if !["unshare", "nsenter", "ip"].iter().all(|tool| installed(tool)) {
            return Err("iproute2");
        }
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        let holder = spawn(&mut command);
        let pid = holder.id().unwrap();
        let theirs = async || std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let apart = |seen: &Option<std::path::PathBuf>| seen.as_ref().is_some_and(|theirs| *theirs != own);
        // A container may be root and still not be let.
        if tokio::time::timeout(super::DEADLINE / 12, eventually("a network namespace", theirs, apart)).await.is_err() {
            return Err("CAP_SYS_ADMIN");
        }
        // A /30 for each process id: 10.128.0.0/9 has room for all of them.
        let net = (u32::from(Ipv4Addr::new(10, 128, 0, 0))) | (pid & 0x1f_ffff) << 2;
        let (ours, other) = (Ipv4Addr::from(net | 1), Ipv4Addr::from(net | 2));
        // At most 15 characters.
        let (card, peer) = (format!("rt{pid}a"), format!("rt{pid}b"));
        let inside = format!("nsenter --target {pid} --net ip");
        for line in [
            format!("ip link add {card} type veth peer name {peer} netns {pid}"),
            format!("ip address add {ours}/30 dev {card}"),
            format!("ip link set {card} up"),
            format!("{inside} address add {other}/30 dev {peer}"),
            format!("{inside} link set {peer} up"),
            format!("{inside} link set lo up"),
        ] {
            if !run(&line).await {
                return Err("CAP_NET_ADMIN");
            }
        }
        Ok(Self { address: ours.into(), holder, card })
    }

    /// Words that make a command behind them run in the namespace.
    pub fn enter(&self) -> [String; 4] {
        ["nsenter".into(), "--target".into(), self.holder.id().unwrap().to_string(), "--net".into()]
    }

    /// Pulls the plug.
    pub async fn down(&self) {
        assert!(run(&format!("ip link set {} down", self.card)).await);
    }

    pub async fn up(&self) {
        assert!(run(&format!("ip link set {} up", self.card)).await);
    }
}

fn installed(tool: &str) -> bool {
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].iter().any(|dir| std::path::Path::new(dir).join(tool).exists())
}

async fn run(line: &str) -> bool {
    let mut words = line.split(' ');
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let mut command = Command::new(words.next().unwrap());
    command.args(words).env("PATH", path).stdin(Stdio::null()).stdout(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}
