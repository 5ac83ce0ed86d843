//! The daemon's answers to its commands, a file for each verb.

mod problems;
mod reload;
mod status;

use tokio::sync::oneshot;

use super::director_loop::DirectorLoop;
use crate::api::{Request, Response};

impl DirectorLoop {
    /// Answers a command.
    pub(super) async fn answer(&mut self, request: Request, answer: oneshot::Sender<Response>) {
        match request {
            Request::Status => self.answer_status(answer),
            Request::Reload => {
                let response = self.reload().await;
                // A command that did not wait for its answer has lost nothing else.
                answer.send(response).ok();
            }
        }
    }
}
